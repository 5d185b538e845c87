"""From radiance to a photo: auto exposure, tone curve, white balance, vignetting, blur, noise.

All randomness is drawn with the scene (`draw_sensor`) or from a counter-based hash of the scene's
noise seed and the pixel number, so a photo never depends on its neighbours in the batch.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

SENSOR_FIELDS = (
    "key", "gamma", "saturation", "red", "green", "blue", "vignette", "blur", "shot", "read"
)  # fmt: skip
_MASK = 0xFFFFFFFF


def draw_sensor(rng: np.random.Generator) -> NDArray[np.float64]:
    """Random sensor settings, in the order of SENSOR_FIELDS."""
    noisy = rng.random() < 0.25
    white = np.exp(rng.normal(0, 0.06, 3))
    return np.array(
        [
            np.exp(rng.normal(math.log(0.2), 0.35)),
            np.exp(rng.normal(0, 0.1)),
            rng.uniform(0.5, 1.3),
            *white,
            rng.uniform(0, 0.35) if rng.random() < 0.5 else 0.0,
            rng.uniform(0, 1) ** 2,
            rng.uniform(0, 0.025) if noisy else rng.uniform(0, 0.006),
            rng.uniform(0, 0.008) if noisy else rng.uniform(0, 0.002),
        ]
    )


def _mixed(x: Tensor) -> Tensor:
    """32-bit integer hash (xor-shift-multiply rounds) held in int64."""
    x = ((x ^ (x >> 16)) * 0x7FEB352D) & _MASK
    x = ((x ^ (x >> 15)) * 0x846CA68B) & _MASK
    return x ^ (x >> 16)


def hash_normal(seed_B: Tensor, count: int) -> Tensor:
    """About normal numbers [B,count] (sum of four 16-bit uniforms) from seeds below 2^31."""
    counter = torch.arange(count, device=seed_B.device)[None]
    first = _mixed(_mixed(counter * 2 + 1) ^ seed_B[:, None])
    second = _mixed(first ^ 0x5BD1E995)
    total = (first & 0xFFFF) + (first >> 16) + (second & 0xFFFF) + (second >> 16)
    return (total.float() / 65536.0 - 2.0) * math.sqrt(3.0)


def expose(radiance_B3HW: Tensor, sensor_BC: Tensor, noise_seed_B: Tensor) -> Tensor:
    """The photo [B,3,H,W] in 0..1 (display gamma) of linear radiance."""
    key, gamma, saturation, red, green, blue, vignette, blur, shot, read = (
        sensor_BC[:, i, None, None, None] for i in range(len(SENSOR_FIELDS))
    )
    height, width = radiance_B3HW.shape[-2:]
    grey_B1HW = radiance_B3HW.mean(1, keepdim=True)
    level = (grey_B1HW + 1e-3).log().mean((2, 3), keepdim=True).exp()
    x = torch.linspace(-1, 1, width, device=grey_B1HW.device)
    y = torch.linspace(-1, 1, height, device=grey_B1HW.device)[:, None]
    fall = 1 - vignette * (x * x + y * y) * 0.5
    light = radiance_B3HW * torch.cat([red, green, blue], 1) * (key / level) * fall
    kernel = torch.tensor([0.25, 0.5, 0.25], device=light.device)
    padded = F.pad(light, (1, 1, 1, 1), mode="replicate")
    rows = (
        padded[:, :, :-2] * kernel[0]
        + padded[:, :, 1:-1] * kernel[1]
        + padded[:, :, 2:] * kernel[2]
    )
    soft = rows[..., :-2] * kernel[0] + rows[..., 1:-1] * kernel[1] + rows[..., 2:] * kernel[2]
    light = light + (soft - light) * blur
    noise = hash_normal(noise_seed_B, 3 * height * width).view_as(light)
    light = light + noise * (read + shot * light.clamp_min(0).sqrt())
    grey = light.mean(1, keepdim=True)
    light = (grey + (light - grey) * saturation).clamp_min(0)
    film = 1 - torch.exp(-1.7 * light)
    return film.clamp(1e-5, 1).pow(gamma / 2.2).clamp(0, 1)
