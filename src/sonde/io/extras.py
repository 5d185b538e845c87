"""Optional packages: the module, or an error that says what to install."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from sonde.errors import MissingExtraError


def load_extra(module: str, *, install: str) -> Any:
    """The imported module; MissingExtraError with `pip install <install>` if it is absent."""
    try:
        return import_module(module)
    except ImportError as error:
        raise MissingExtraError(
            module,
            f"this needs a package that cannot be imported ({error})",
            f"pip install {install}",
        ) from error
