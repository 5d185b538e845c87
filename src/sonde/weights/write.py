"""Tensors into and out of a safetensors file, whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from sonde.errors import OutputError, WeightsError


def write_safetensors(path: Path, tensors: Mapping[str, Tensor], metadata: dict[str, str]) -> None:
    """Write tensors and metadata to `path` through a temporary name in the same folder."""
    from safetensors.torch import save_file

    temporary = path.with_name(f"{path.name}.tmp{os.getpid()}")
    try:
        save_file(dict(tensors), str(temporary), metadata=metadata)
        os.replace(temporary, path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise OutputError(path, f"not written ({error})") from error


def read_safetensors(path: Path) -> dict[str, Tensor]:
    """All tensors of the file, on the CPU."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(str(path))
    except (OSError, SafetensorError) as error:
        raise WeightsError(path, f"not a readable safetensors file ({error})") from error


def read_metadata(path: Path) -> dict[str, str]:
    """The text metadata of the file."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(str(path), framework="pt") as file:
            return file.metadata() or {}
    except (OSError, SafetensorError) as error:
        raise WeightsError(path, f"not a readable safetensors file ({error})") from error
