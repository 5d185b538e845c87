"""Generative depth estimation: from a photo to depth, a clean point cloud and uncertainty.

    model = sonde.load("ppd-tiny")
    result = model.predict("photo.jpg")
    result.save("out", ["png16", "vis", "ply"])

Names are resolved when first used, so importing sonde is fast and loads neither torch nor weights.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from sonde.errors import SondeError
    from sonde.io.readers import read_result as read
    from sonde.pipeline.load import load
    from sonde.result import DepthKind, DepthResult

_HOMES = {
    "DepthKind": ("sonde.result", "DepthKind"),
    "DepthResult": ("sonde.result", "DepthResult"),
    "SondeError": ("sonde.errors", "SondeError"),
    "load": ("sonde.pipeline.load", "load"),
    "read": ("sonde.io.readers", "read_result"),
}

__all__ = ["DepthKind", "DepthResult", "SondeError", "__version__", "load", "read"]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'sonde' has no attribute {name!r}")
    module, symbol = _HOMES[name]
    return getattr(import_module(module), symbol)


def __dir__() -> list[str]:
    return __all__
