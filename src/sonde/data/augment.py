"""Seeded augmentation of training batches: crops, flips, and changes of colour and sharpness.

Crops keep the pixel aspect, so a crop is a longer lens: tan(fov / 2) shrinks with its width.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from sonde.errors import ConfigError

from .sample import DepthBatch


@dataclass(frozen=True, kw_only=True, slots=True)
class AugmentOptions:
    """How strongly to augment. crop_min: smallest crop, as a share of the largest that fits.

    Fields named after a change are its probability; others are standard deviations (log domain
    for gamma, gain, contrast).
    """

    crop_min: float = 0.6
    flip: float = 0.5
    gamma: float = 0.2
    gain: float = 0.07
    contrast: float = 0.15
    saturation: float = 0.35
    grey: float = 0.06
    invert: float = 0.03
    blur: float = 0.2
    noise: float = 0.02

    def __post_init__(self) -> None:
        if not 0.05 <= self.crop_min <= 1:
            raise ConfigError("AugmentOptions.crop_min", f"{self.crop_min} is not in 0.05..1")
        chances = {name: getattr(self, name) for name in ("flip", "grey", "invert", "blur")}
        for name, chance in chances.items():
            if not 0 <= chance <= 1:
                raise ConfigError(f"AugmentOptions.{name}", f"{chance} is not a probability")
        for name in ("gamma", "gain", "contrast", "saturation", "noise"):
            if getattr(self, name) < 0:
                raise ConfigError(f"AugmentOptions.{name}", f"{getattr(self, name)} is negative")


class Crop(NamedTuple):
    """Cut-outs in source pixels [B]: left and top edge, width and height; and mirroring."""

    left_B: Tensor
    top_B: Tensor
    width_B: Tensor
    height_B: Tensor
    flip_B: Tensor


def whole_view(batch: DepthBatch, *, size_hw: tuple[int, int]) -> DepthBatch:
    """The batch resized without any random change: the largest centred crop of the new aspect."""
    count, _, height, width = batch.image_B3HW.shape
    wide = min(float(width), height * size_hw[1] / size_hw[0])
    width_B = torch.full((count,), wide)
    height_B = width_B * size_hw[0] / size_hw[1]
    crop = Crop(
        (width - width_B) / 2,
        (height - height_B) / 2,
        width_B,
        height_B,
        torch.zeros(count, dtype=torch.bool),
    )
    return cut(batch, crop, size_hw=size_hw)


def augment_batch(
    batch: DepthBatch,
    *,
    size_hw: tuple[int, int],
    generator: torch.Generator,
    options: AugmentOptions,
) -> DepthBatch:
    """A randomly cropped, mirrored and recoloured copy of the batch at `size_hw`.

    All numbers come from `generator`, on its own device; a CPU generator gives the same changes
    on every device.
    """
    count, _, height, width = batch.image_B3HW.shape
    draw = torch.rand(count, 4, generator=generator, device=generator.device)
    largest = min(float(width), height * size_hw[1] / size_hw[0])
    width_B = largest * (options.crop_min + (1 - options.crop_min) * draw[:, 0])
    height_B = width_B * size_hw[0] / size_hw[1]
    crop = Crop(
        (width - width_B) * draw[:, 1],
        (height - height_B) * draw[:, 2],
        width_B,
        height_B,
        draw[:, 3] < options.flip,
    )
    out = cut(batch, crop, size_hw=size_hw)
    return out._replace(image_B3HW=recolour(out.image_B3HW, generator=generator, options=options))


def cut(batch: DepthBatch, crop: Crop, *, size_hw: tuple[int, int]) -> DepthBatch:
    """The cut-outs at `size_hw`: photo filtered linearly, depth and masks by nearest pixel."""
    height, width = batch.depth_BHW.shape[-2:]
    device = batch.image_B3HW.device
    crop = Crop(*(t.to(device) for t in crop))
    never = torch.zeros_like(crop.flip_B)
    rows_BH = _positions(crop.top_B, crop.height_B, size_hw[0], never)
    cols_BW = _positions(crop.left_B, crop.width_B, size_hw[1], crop.flip_B)
    down = _weights(rows_BH, height, crop.height_B / size_hw[0])
    across = _weights(cols_BW, width, crop.width_B / size_hw[1])
    image = down[:, None] @ batch.image_B3HW @ across[:, None].transpose(-1, -2)
    row = rows_BH.floor().long().clamp(0, height - 1)[:, :, None]
    col = cols_BW.floor().long().clamp(0, width - 1)[:, None, :]
    scene = torch.arange(len(row), device=device)[:, None, None]
    half = torch.deg2rad(batch.fov_x_deg_B / 2)
    part = crop.width_B.to(half.dtype) / width
    return DepthBatch(
        image.clamp(0, 1),
        batch.depth_BHW[scene, row, col],
        batch.valid_BHW[scene, row, col],
        batch.sky_BHW[scene, row, col],
        torch.rad2deg(2 * torch.atan(part * torch.tan(half))),
    )


def _positions(start_B: Tensor, length_B: Tensor, count: int, flip_B: Tensor) -> Tensor:
    """Source coordinates [B,count] of the output pixels' centres (pixel centres at +0.5)."""
    share = (torch.arange(count, device=start_B.device) + 0.5) / count
    share_BN = torch.where(flip_B[:, None], 1 - share, share)
    return start_B[:, None] + length_B[:, None] * share_BN


def _weights(position_BN: Tensor, length: int, step_B: Tensor) -> Tensor:
    """Linear interpolation as a matrix [B,N,length]; wider triangles where it shrinks."""
    centre = torch.arange(length, device=position_BN.device) + 0.5
    reach = step_B.clamp_min(1)[:, None, None]
    inside_BN = position_BN.clamp(0.5, length - 0.5)
    weight = (1 - (inside_BN[..., None] - centre).abs() / reach).clamp_min(0)
    return weight / weight.sum(-1, keepdim=True)


def recolour(image_B3HW: Tensor, *, generator: torch.Generator, options: AugmentOptions) -> Tensor:
    """Photometric changes per photo: gain, gamma, contrast, saturation, inversion, blur, noise."""
    count, device, origin = len(image_B3HW), image_B3HW.device, generator.device

    def normal(*shape: int) -> Tensor:
        return torch.randn(count, *shape, generator=generator, device=origin).to(device)

    def uniform() -> Tensor:
        return torch.rand(count, 1, 1, 1, generator=generator, device=origin).to(device)

    x = image_B3HW * torch.exp(options.gain * (normal(3, 1, 1) + normal(1, 1, 1)))
    x = x.clamp(1e-4, 1) ** torch.exp(options.gamma * normal(1, 1, 1))
    middle = x.mean((1, 2, 3), keepdim=True)
    x = middle + (x - middle) * torch.exp(options.contrast * normal(1, 1, 1))
    grey = x.mean(1, keepdim=True)
    colour = torch.where(
        uniform() < options.grey, 0.0, torch.exp(options.saturation * normal(1, 1, 1))
    )
    x = grey + (x - grey) * colour.clamp_max(2.5)
    x = torch.where(uniform() < options.invert, 1 - x, x)
    x = torch.where(uniform() < options.blur, _blurred(x), x)
    return (x + options.noise * uniform() ** 2 * normal(*x.shape[1:])).clamp(0, 1)


def _blurred(image_B3HW: Tensor) -> Tensor:
    """A small Gaussian blur (1 2 1 twice)."""
    kernel = torch.tensor([1.0, 4.0, 6.0, 4.0, 1.0], device=image_B3HW.device) / 16
    x = torch.nn.functional.pad(image_B3HW, (2, 2, 2, 2), mode="replicate")
    height, width = image_B3HW.shape[-2:]
    x = sum(float(k) * x[:, :, i : i + height] for i, k in enumerate(kernel))  # type: ignore[assignment]
    return sum(float(k) * x[..., i : i + width] for i, k in enumerate(kernel))  # type: ignore[return-value]
