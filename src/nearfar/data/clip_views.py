"""How a network sees rendered clips: which frames, in what slots, cut and recolored as one.

A clip of F frames becomes a window of T. Either T that follow each other, or, as in every later
window of a video, key frames from the first F - (T - K) frames and then the last T - K in order.
All frames of a clip get the same cut, mirroring and colors; noise differs.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from nearfar.errors import ConfigError

from .augment import AugmentOptions, Crop, cut, draw_crop, recolor, whole_view
from .sample import DepthBatch

KEYS = 3  # key frames that open a later window


@dataclass(frozen=True, kw_only=True, slots=True)
class ClipAugmentOptions(AugmentOptions):
    """Augmentation of photos, and what is done to the order of frames.

    Roll, mixed spectra and erased patches, which belong to a single frame, are off.
    window: frames the network sees. later: share of windows that open with key frames. reverse:
    share of clips that run backwards.
    """

    rotate: float = 0.0
    fourier: float = 0.0
    erase: float = 0.0
    window: int = 8
    later: float = 0.5
    reverse: float = 0.5

    def __post_init__(self) -> None:
        AugmentOptions.__post_init__(self)
        if self.window < 1:
            raise ConfigError("ClipAugmentOptions.window", f"{self.window} frames")
        if self.rotate != 0:
            raise ConfigError("ClipAugmentOptions.rotate", "clips are not rolled", "Set it to 0")
        for name in ("later", "reverse"):
            if not 0 <= getattr(self, name) <= 1:
                raise ConfigError(
                    f"ClipAugmentOptions.{name}", f"{getattr(self, name)} is not a probability"
                )


def augment_clips(
    batch: DepthBatch,
    *,
    size_hw: tuple[int, int],
    generator: torch.Generator,
    options: ClipAugmentOptions,
) -> DepthBatch:
    """Windows of the clips [B,F,...] as [B,T,...] at `size_hw`; numbers from `generator` alone."""
    count, frames = batch.depth_BHW.shape[:2]
    draw_B3 = torch.rand(count, 3, generator=generator, device=generator.device).tolist()
    slots = []
    for backwards, later, start in draw_B3:
        order = window_slots(frames, options.window, start=start, later=later < options.later)
        slots.append([frames - 1 - f for f in order] if backwards < options.reverse else order)
    chosen = torch.tensor(slots, device=batch.depth_BHW.device)
    rows = torch.arange(count, device=chosen.device)[:, None]
    window = _each_map(batch, lambda x: x[rows, chosen], batch.fov_x_deg_B)
    crop = draw_crop(window, size_hw=size_hw, generator=generator, options=options)
    each = Crop(*(tensor.repeat_interleave(options.window) for tensor in crop))
    out = _unfolded(cut(_folded(window), each, size_hw=size_hw), count)
    # frames one below the other are one photo, so that all of them get the same colors
    tall_B3HW = out.image_B3HW.transpose(1, 2).flatten(2, 3)
    tall_B3HW = recolor(tall_B3HW, generator=generator, options=options)
    image_BT3HW = tall_B3HW.unflatten(2, (options.window, -1)).transpose(1, 2)
    return out._replace(image_B3HW=image_BT3HW.contiguous())


def whole_clips(batch: DepthBatch, *, size_hw: tuple[int, int], window: int) -> DepthBatch:
    """The clips' first `window` frames at `size_hw` without any random change."""
    first = _each_map(batch, lambda x: x[:, :window], batch.fov_x_deg_B)
    return _unfolded(whole_view(_folded(first), size_hw=size_hw), len(first.depth_BHW))


def window_slots(frames: int, window: int, *, start: float, later: bool) -> list[int]:
    """Frame numbers of a window of a clip; start in 0..1 places a window of neighbors."""
    if frames < window:
        raise ConfigError(
            "data.augment.window", f"{window} frames of clips that have {frames}", "Lower it"
        )
    new = window - KEYS
    if later and new >= 1 and frames > window:
        last = frames - new - 1
        return [0, last // 2, last, *range(last + 1, frames)]
    first = min(int(start * (frames - window + 1)), frames - window)
    return list(range(first, first + window))


def _folded(batch: DepthBatch) -> DepthBatch:
    """Clips [B,T,...] as a batch of all their frames."""
    fov_x_deg_B = batch.fov_x_deg_B.repeat_interleave(batch.depth_BHW.shape[1])
    return _each_map(batch, lambda x: x.flatten(0, 1), fov_x_deg_B)


def _unfolded(batch: DepthBatch, count: int) -> DepthBatch:
    """The frames of `count` clips as clips again, with one field of view each."""
    fov_x_deg_B = batch.fov_x_deg_B.unflatten(0, (count, -1))[:, 0]
    return _each_map(batch, lambda x: x.unflatten(0, (count, -1)), fov_x_deg_B)


def _each_map(
    batch: DepthBatch, change: Callable[[Tensor], Tensor], fov_x_deg_B: Tensor
) -> DepthBatch:
    """The batch with its photos, depths and masks changed alike."""
    image, depth, valid, sky = (change(tensor) for tensor in batch[:4])
    return DepthBatch(image, depth, valid, sky, fov_x_deg_B)
