"""Generative depth estimation: from a photo to depth, a clean point cloud and uncertainty.

    model = nearfar.load("ppd-tiny")
    result = model.predict("photo.jpg")
    result.save("out", ["png16", "vis", "ply"])

Names are resolved when first used: importing nearfar is fast and loads neither torch nor weights.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from nearfar.errors import NearfarError
    from nearfar.io.readers import read_result as read
    from nearfar.pipeline.load import load
    from nearfar.result import DepthKind, DepthResult

_HOMES = {
    "DepthKind": ("nearfar.result", "DepthKind"),
    "DepthResult": ("nearfar.result", "DepthResult"),
    "NearfarError": ("nearfar.errors", "NearfarError"),
    "load": ("nearfar.pipeline.load", "load"),
    "read": ("nearfar.io.readers", "read_result"),
}

__all__ = ["DepthKind", "DepthResult", "NearfarError", "__version__", "load", "read"]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'nearfar' has no attribute {name!r}")
    module, symbol = _HOMES[name]
    return getattr(import_module(module), symbol)


def __dir__() -> list[str]:
    return __all__
