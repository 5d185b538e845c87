"""A tokenizer from a file: ours, or a VQ-VAE of VAR or Switti as released."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch

from nearfar.errors import WeightsError
from nearfar.tokenizers.vqvae import VQVAE

from .networks import build, fill
from .published import read_weights
from .safe import require_sound

FAMILY = "depth_tokenizer"


def load_tokenizer(
    path: str | Path,
    *,
    device: torch.device | str = "cpu",
    scales: Sequence[int] | None = None,
) -> VQVAE:
    """The tokenizer of a weights file or of a run's folder, float32, frozen, in eval mode.

    scales: token maps other than the file's; released files name none and get those of VAR at 256
    pixels, so give `tokenizers.presets.SWITTI.scales` with Switti's.
    """
    path = Path(path).expanduser()
    if path.is_dir():
        path = path / "weights.safetensors"
    if not path.is_file():
        raise WeightsError(path, "no such file", "nearfar train recipes/depth_tokenizer.toml")
    weights = read_weights(path)
    if weights.family != FAMILY:
        raise WeightsError(path, f"weights of {weights.family}, not of a tokenizer")
    require_sound(weights.tensors, path)
    config = weights.config if scales is None else replace(weights.config, scales=tuple(scales))
    network = fill(build(FAMILY, config), weights.tensors)
    assert isinstance(network, VQVAE)
    return network.float().to(device)
