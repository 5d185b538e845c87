"""Changes of a training photo's look that keep its depth: filters, spectra, erased patches.

Each takes photos [B,3,H,W] in 0..1 and a `Dice`; which photos change, and how, comes from its
generator alone.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


class Dice:
    """Random numbers per photo, drawn on the generator's device and moved to the photos'."""

    def __init__(self, count: int, generator: torch.Generator, device: torch.device) -> None:
        self.count, self._generator, self._device = count, generator, device

    def normal(self, *shape: int) -> Tensor:
        """Normal numbers [B,*shape]."""
        numbers = torch.randn(
            self.count, *shape, generator=self._generator, device=self._generator.device
        )
        return numbers.to(self._device)

    def uniform(self, *shape: int) -> Tensor:
        """Uniform numbers [B,*shape] in 0..1."""
        numbers = torch.rand(
            self.count, *shape, generator=self._generator, device=self._generator.device
        )
        return numbers.to(self._device)

    def chance(self, probability: float) -> Tensor:
        """[B,1,1,1] True with this probability."""
        return self.uniform(1, 1, 1) < probability

    def chosen(self, probability: float) -> Tensor:
        """Numbers of the photos that change, each with this probability."""
        return (self.uniform() < probability).nonzero()[:, 0]

    def order(self) -> Tensor:
        """A random order of the photos [B]."""
        return self.uniform().argsort()


def random_filter(image_B3HW: Tensor, dice: Dice, *, chance: float, strength: float) -> Tensor:
    """Photos filtered with random 3x3 kernels over space and color, mixed with the photo.

    The result keeps the photo's mean and deviation per channel, so that only its texture changes
    (random convolution, arXiv 2007.13003).
    """
    kernel, share = dice.normal(3, 3, 3, 3), strength * dice.uniform(1, 1, 1)
    on = dice.chosen(chance)
    if not len(on):
        return image_B3HW
    photo = image_B3HW[on]
    B, C, H, W = photo.shape
    padded = F.pad(photo, (1, 1, 1, 1), mode="replicate").reshape(1, B * C, H + 2, W + 2)
    drawn = F.conv2d(padded, kernel[on].reshape(B * C, C, 3, 3), groups=B).view(B, C, H, W)
    middle = photo.mean((2, 3), keepdim=True)
    gain = photo.std((2, 3), keepdim=True) / drawn.std((2, 3), keepdim=True).clamp_min(1e-4)
    drawn = middle + (drawn - drawn.mean((2, 3), keepdim=True)) * gain
    return image_B3HW.index_copy(0, on, photo + share[on] * (drawn - photo))


def mix_amplitudes(image_B3HW: Tensor, dice: Dice, *, chance: float, reach: float = 0.08) -> Tensor:
    """Photos whose low frequencies have the amplitudes of another photo of the batch.

    Phases stay, so shapes stay where they are (Fourier domain adaptation, arXiv 2004.05498).
    reach: share of the highest frequency up to which amplitudes are mixed.
    """
    order, share, on = dice.order(), dice.uniform(1, 1, 1), dice.chosen(chance)
    if not len(on):
        return image_B3HW
    H, W = image_B3HW.shape[-2:]
    rows, cols = max(1, round(reach * H / 2)), max(1, round(reach * W / 2))
    waves, other = (torch.fft.rfft2(image_B3HW[i]) for i in (on, order[on]))
    for part in (slice(0, rows + 1), slice(H - rows, H)):
        low = waves[:, :, part, : cols + 1]
        own, wanted = low.abs(), other[:, :, part, : cols + 1].abs()
        factor = 1 + share[on] * (wanted / own.clamp_min(1e-6) - 1)
        waves[:, :, part, : cols + 1] = low * factor
    return image_B3HW.index_copy(0, on, torch.fft.irfft2(waves, s=(H, W)).clamp(0, 1))


def flatten_contrast(image_B3HW: Tensor, dice: Dice, *, chance: float) -> Tensor:
    """Photos with their local brightness and contrast partly leveled over a wide neighborhood."""
    share, on = dice.uniform(1, 1, 1), dice.chosen(chance)
    if not len(on):
        return image_B3HW
    H, W = image_B3HW.shape[-2:]
    small = (max(2, H // 12), max(2, W // 12))
    photo = image_B3HW[on]
    grey = photo.mean(1, keepdim=True)

    def smooth(x_B1HW: Tensor) -> Tensor:
        few = F.adaptive_avg_pool2d(x_B1HW, small)
        return F.interpolate(few, (H, W), mode="bilinear", align_corners=False)

    middle = smooth(grey)
    spread = (smooth(grey * grey) - middle * middle).clamp_min(1e-4).sqrt()
    level = 0.5 + (photo - middle) * (0.2 / (spread + 0.05))
    return image_B3HW.index_copy(0, on, (photo + share[on] * (level - photo)).clamp(0, 1))


def erase_patches(image_B3HW: Tensor, dice: Dice, *, chance: float, patches: int = 2) -> Tensor:
    """Photos with a few small rectangles of one color; their depth is still asked for."""
    place, color = dice.uniform(patches, 4).tolist(), dice.uniform(patches, 3, 1, 1)
    H, W = image_B3HW.shape[-2:]
    on = dice.chosen(chance)
    image_B3HW = image_B3HW.clone() if len(on) else image_B3HW
    for photo in on.tolist():
        for (y, x, high, wide), paint in zip(place[photo], color[photo]):
            h, w = round((0.04 + 0.16 * high) * H), round((0.04 + 0.16 * wide) * W)
            top, left = int(y * (H - h)), int(x * (W - w))
            image_B3HW[photo, :, top : top + h, left : left + w] = paint
    return image_B3HW
