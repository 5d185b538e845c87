"""`python -m sonde.cli`, for launchers that want a module (torchrun -m sonde.cli predict ...)."""

from sonde.cli import main

main()
