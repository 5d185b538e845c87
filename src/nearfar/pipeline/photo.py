"""The photo as the network's tensor."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

_SHRINK_ABOVE = 16_000_000  # pixels


def network_image(rgb_HW3: NDArray[np.uint8], *, area: int) -> Tensor:
    """Float [3,H,W] in 0..1; photos over 16 megapixels are first averaged by a whole factor.

    The factor leaves at least twice the sides of `area`, so what the network sees hardly changes,
    while a 100-megapixel photo does not need gigabytes of floats.
    """
    height, width = rgb_HW3.shape[:2]
    factor = 1
    if height * width > _SHRINK_ABOVE:
        factor = min(height, width, max(1, int((height * width / (4 * area)) ** 0.5)))
    if factor > 1:
        rgb_HW3 = _average(rgb_HW3, factor)
    image_3HW = torch.from_numpy(rgb_HW3.transpose(2, 0, 1).copy())
    return image_3HW.to(torch.float32).div_(255)


def _average(rgb_HW3: NDArray[np.uint8], factor: int) -> NDArray[np.uint8]:
    """Means of factor x factor blocks, rounded; a remainder at the right and bottom is cut."""
    height, width = rgb_HW3.shape[0] // factor, rgb_HW3.shape[1] // factor
    out = np.empty((height, width, 3), np.uint8)
    for row in range(height):
        block = rgb_HW3[row * factor : (row + 1) * factor, : width * factor]
        sums = block.sum(axis=0, dtype=np.uint32).reshape(width, factor, 3).sum(axis=1)
        out[row] = (sums + factor * factor // 2) // (factor * factor)
    return out
