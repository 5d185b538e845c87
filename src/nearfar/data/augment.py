"""Seeded augmentation of training batches: crops, flips, and changes of color and sharpness.

Crops keep the pixel aspect, so a crop is a longer lens: tan(fov / 2) shrinks with its width.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from nearfar.errors import ConfigError

from .appearance import Dice, erase_patches, flatten_contrast, mix_amplitudes, random_filter
from .sample import DepthBatch

_CHANCES = (
    "flip", "grey", "invert", "blur", "strong", "rotate", "random_filter", "fourier", "flatten",
    "erase",
)  # fmt: skip
_LARGEST_ROLL = 5.0  # degrees


@dataclass(frozen=True, kw_only=True, slots=True)
class AugmentOptions:
    """How strongly to augment. crop_min: smallest crop, as a share of the largest that fits.

    Fields named after a change are its probability; others are standard deviations (log domain
    for gamma, gain, contrast; degrees for roll). strong: photos whose gamma, gain, contrast and
    saturation vary three times as much. rotate: photos turned by roll about the view axis; corners
    without a pixel become invalid. random_filter, fourier, flatten, erase: see appearance.py.
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
    strong: float = 0.1
    rotate: float = 0.3
    roll: float = 2.5
    random_filter: float = 0.15
    fourier: float = 0.15
    flatten: float = 0.1
    erase: float = 0.08

    def __post_init__(self) -> None:
        if not 0.05 <= self.crop_min <= 1:
            raise ConfigError("AugmentOptions.crop_min", f"{self.crop_min} is not in 0.05..1")
        for name in _CHANCES:
            if not 0 <= getattr(self, name) <= 1:
                raise ConfigError(
                    f"AugmentOptions.{name}", f"{getattr(self, name)} is not a probability"
                )
        for name in ("gamma", "gain", "contrast", "saturation", "noise", "roll"):
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
    """The batch resized without any random change: the largest centered crop of the new aspect."""
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
    """A randomly cropped, mirrored and recolored copy of the batch at `size_hw`.

    All numbers come from `generator`, on its own device; a CPU generator gives the same changes
    on every device.
    """
    count = len(batch.image_B3HW)
    crop = draw_crop(batch, size_hw=size_hw, generator=generator, options=options)
    out = cut(batch, crop, size_hw=size_hw)
    if options.rotate > 0:
        draw = torch.randn(count, generator=generator, device=generator.device)
        chosen = torch.rand(count, generator=generator, device=generator.device) < options.rotate
        angle_B = torch.deg2rad((options.roll * draw).clamp(-_LARGEST_ROLL, _LARGEST_ROLL))
        out = rotate(out, torch.where(chosen, angle_B, 0.0).to(batch.image_B3HW.device))
    image_B3HW = recolor(out.image_B3HW, generator=generator, options=options)
    return out._replace(image_B3HW=image_B3HW)


def draw_crop(
    batch: DepthBatch,
    *,
    size_hw: tuple[int, int],
    generator: torch.Generator,
    options: AugmentOptions,
) -> Crop:
    """A random cut-out and mirroring for each photo of a batch (or each clip of [B,T,...])."""
    count, (height, width) = len(batch.depth_BHW), batch.depth_BHW.shape[-2:]
    draw = torch.rand(count, 4, generator=generator, device=generator.device)
    largest = min(float(width), height * size_hw[1] / size_hw[0])
    width_B = largest * (options.crop_min + (1 - options.crop_min) * draw[:, 0])
    height_B = width_B * size_hw[0] / size_hw[1]
    return Crop(
        (width - width_B) * draw[:, 1],
        (height - height_B) * draw[:, 2],
        width_B,
        height_B,
        draw[:, 3] < options.flip,
    )


def rotate(batch: DepthBatch, angle_B: Tensor) -> DepthBatch:
    """The batch turned by angles (radians) about the middle of each photo.

    The photo is filtered linearly and its border repeated outside; depth and masks take the nearest
    pixel, and those from outside are neither valid nor sky. A camera that rolls keeps its z-depth,
    so values stay as they are; the field of view does too.
    """
    height, width = batch.depth_BHW.shape[-2:]
    device = batch.image_B3HW.device
    turned = (angle_B != 0).nonzero()[:, 0]
    if not len(turned):
        return batch
    cos, sin = torch.cos(angle_B[turned]), torch.sin(angle_B[turned])
    y, x = torch.meshgrid(
        torch.arange(height, device=device) + 0.5 - height / 2,
        torch.arange(width, device=device) + 0.5 - width / 2,
        indexing="ij",
    )
    source_x = cos[:, None, None] * x - sin[:, None, None] * y
    source_y = sin[:, None, None] * x + cos[:, None, None] * y
    grid = torch.stack([source_x / (width / 2), source_y / (height / 2)], -1)
    image, depth = batch.image_B3HW.clone(), batch.depth_BHW.clone()
    valid, sky = batch.valid_BHW.clone(), batch.sky_BHW.clone()
    image[turned] = torch.nn.functional.grid_sample(
        batch.image_B3HW[turned], grid.to(image), padding_mode="border", align_corners=False
    )
    row = (source_y + height / 2).floor().long()
    col = (source_x + width / 2).floor().long()
    inside = (row >= 0) & (row < height) & (col >= 0) & (col < width)
    row, col = row.clamp(0, height - 1), col.clamp(0, width - 1)
    photo = turned[:, None, None]
    depth[turned] = torch.where(inside, batch.depth_BHW[photo, row, col], 0.0)
    valid[turned] = batch.valid_BHW[photo, row, col] & inside
    sky[turned] = batch.sky_BHW[photo, row, col] & inside
    return DepthBatch(image, depth, valid, sky, batch.fov_x_deg_B)


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
    """Source coordinates [B,count] of the output pixels' centers (pixel centers at +0.5)."""
    share = (torch.arange(count, device=start_B.device) + 0.5) / count
    share_BN = torch.where(flip_B[:, None], 1 - share, share)
    return start_B[:, None] + length_B[:, None] * share_BN


def _weights(position_BN: Tensor, length: int, step_B: Tensor) -> Tensor:
    """Linear interpolation as a matrix [B,N,length]; wider triangles where it shrinks."""
    center = torch.arange(length, device=position_BN.device) + 0.5
    reach = step_B.clamp_min(1)[:, None, None]
    inside_BN = position_BN.clamp(0.5, length - 0.5)
    weight = (1 - (inside_BN[..., None] - center).abs() / reach).clamp_min(0)
    return weight / weight.sum(-1, keepdim=True)


def recolor(image_B3HW: Tensor, *, generator: torch.Generator, options: AugmentOptions) -> Tensor:
    """Changes of look per photo: spectrum, texture, light, color, sharpness, erased patches."""
    dice = Dice(len(image_B3HW), generator, image_B3HW.device)
    x = mix_amplitudes(image_B3HW, dice, chance=options.fourier)
    x = random_filter(x, dice, chance=options.random_filter, strength=0.8)
    x = flatten_contrast(x, dice, chance=options.flatten)
    more = torch.where(dice.chance(options.strong), 3.0, 1.0)
    x = x * torch.exp(more * options.gain * (dice.normal(3, 1, 1) + dice.normal(1, 1, 1)))
    x = x.clamp(1e-4, 1) ** torch.exp(more * options.gamma * dice.normal(1, 1, 1))
    middle = x.mean((1, 2, 3), keepdim=True)
    x = middle + (x - middle) * torch.exp(more * options.contrast * dice.normal(1, 1, 1))
    grey = x.mean(1, keepdim=True)
    vivid = torch.exp(more * options.saturation * dice.normal(1, 1, 1))
    color = torch.where(dice.chance(options.grey), 0.0, vivid)
    x = grey + (x - grey) * color.clamp_max(2.5)
    x = torch.where(dice.chance(options.invert), 1 - x, x)
    soft = dice.chosen(options.blur)
    x = x.index_copy(0, soft, _blurred(x[soft]))
    x = erase_patches(x, dice, chance=options.erase)
    return (x + options.noise * dice.uniform(1, 1, 1) ** 2 * dice.normal(*x.shape[1:])).clamp(0, 1)


def _blurred(image_B3HW: Tensor) -> Tensor:
    """A small Gaussian blur (1 2 1 twice)."""
    kernel = torch.tensor([1.0, 4.0, 6.0, 4.0, 1.0], device=image_B3HW.device) / 16
    x = torch.nn.functional.pad(image_B3HW, (2, 2, 2, 2), mode="replicate")
    height, width = image_B3HW.shape[-2:]
    x = sum(float(k) * x[:, :, i : i + height] for i, k in enumerate(kernel))  # type: ignore[assignment]
    return sum(float(k) * x[..., i : i + width] for i, k in enumerate(kernel))  # type: ignore[return-value]
