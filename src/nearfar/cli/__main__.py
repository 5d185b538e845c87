"""`python -m nearfar.cli`, for launchers that want a module (torchrun -m nearfar.cli ...)."""

from nearfar.cli import main

main()
