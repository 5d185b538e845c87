"""From radiance to a photo: exposure, lens, motion, noise, tone curve, sharpening, compression.

All randomness is drawn with the scene (`draw_sensor`) or from a counter-based hash of the scene's
noise seed and the pixel number, so a photo never depends on its neighbors in the batch.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

Array = NDArray[np.float64]

# tilt, wave: uneven light over the frame (log), so that bright and dark tell little of depth.
SENSOR_FIELDS = (
    "key", "gamma", "saturation", "red", "green", "blue", "vignette", "shot", "read", "shoulder",
    "curve", "sharpen", "blocks", "tilt_x", "tilt_y", "wave", "wave_x", "wave_y", "phase",
)  # fmt: skip
TAPS = 5  # side of the blur kernel, which follows the fields
SENSOR_LENGTH = len(SENSOR_FIELDS) + TAPS * TAPS
_MASK = 0xFFFFFFFF


def neutral_sensor(**changes: float) -> Array:
    """Settings [SENSOR_LENGTH] of an ideal camera, with some fields changed."""
    fields = dict.fromkeys(SENSOR_FIELDS, 0.0)
    fields.update(key=0.2, gamma=1.0, saturation=1.0, red=1.0, green=1.0, blue=1.0)
    for name, value in changes.items():
        fields[name] = float(value)
    kernel = np.zeros((TAPS, TAPS))
    kernel[TAPS // 2, TAPS // 2] = 1.0
    return np.concatenate([np.array(list(fields.values())), kernel.ravel()])


def blur_kernel(sigma: float, shift: tuple[float, float]) -> Array:
    """[TAPS,TAPS] kernel of a soft lens (`sigma` pixels) that moved by `shift` (x, y) pixels."""
    at = np.arange(TAPS) - TAPS // 2
    total = np.zeros((TAPS, TAPS))
    width = 2 * max(sigma, 0.25) ** 2
    for part in (-0.5, -0.25, 0.0, 0.25, 0.5):
        x, y = at - part * shift[0], at - part * shift[1]
        total += np.exp(-(x * x + (y * y)[:, None]) / width)
    return np.asarray(total / total.sum())


def draw_sensor(rng: np.random.Generator, *, strength: float = 1.0, uneven: float = 1.0) -> Array:
    """Random sensor settings: SENSOR_FIELDS, then the blur kernel.

    strength: that of the imperfections that the lens and the processing add; uneven: of light.
    """
    noisy = rng.random() < 0.25
    white = np.exp(rng.normal(0, 0.07, 3))
    tilted, waved = rng.random() < 0.6, rng.random() < 0.4
    moved, sharp, packed = rng.random() < 0.12, rng.random() < 0.45, rng.random() < 0.4
    turn = rng.uniform(0, 2 * math.pi)
    values = neutral_sensor(
        key=np.exp(rng.normal(math.log(0.19), 0.35)),
        gamma=np.exp(rng.normal(0, 0.1)),
        saturation=rng.uniform(0.5, 1.25),
        red=white[0],
        green=white[1],
        blue=white[2],
        vignette=rng.uniform(0, 0.4) if rng.random() < 0.5 else 0.0,
        shot=rng.uniform(0, 0.025) if noisy else rng.uniform(0, 0.006),
        read=rng.uniform(0, 0.008) if noisy else rng.uniform(0, 0.002),
        shoulder=strength * rng.uniform(0, 1),
        curve=strength * rng.uniform(-0.2, 0.9),
        sharpen=strength * rng.uniform(0.1, 1.0) if sharp else 0.0,
        blocks=strength * rng.uniform(0.005, 0.035) if packed else 0.0,
        tilt_x=uneven * rng.normal(0, 0.35) if tilted else 0.0,
        tilt_y=uneven * rng.normal(0, 0.35) if tilted else 0.0,
        wave=uneven * rng.uniform(0.05, 0.3) if waved else 0.0,
        wave_x=math.cos(turn) * rng.uniform(1, 5),
        wave_y=math.sin(turn) * rng.uniform(1, 5),
        phase=rng.uniform(0, 2 * math.pi),
    )
    sigma = 0.3 + 0.6 * rng.uniform(0, 1) ** 2
    length = strength * rng.uniform(1.0, 3.5) if moved else 0.0
    shift = (length * math.cos(turn), length * math.sin(turn))
    values[len(SENSOR_FIELDS) :] = blur_kernel(sigma, shift).ravel()
    return values


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


def _filtered(image_B3HW: Tensor, kernel_BKK: Tensor) -> Tensor:
    """Each photo filtered with its own kernel, borders repeated."""
    B, C, H, W = image_B3HW.shape
    edge = TAPS // 2
    padded = F.pad(image_B3HW, (edge, edge, edge, edge), mode="replicate")
    weight = kernel_BKK[:, None].expand(B, C, TAPS, TAPS).reshape(B * C, 1, TAPS, TAPS)
    return F.conv2d(padded.reshape(1, B * C, *padded.shape[-2:]), weight, groups=B * C).view(
        B, C, H, W
    )


def _halo(image_B3HW: Tensor) -> Tensor:
    """The photo minus its 3x3 mean: what sharpening adds."""
    padded = F.pad(image_B3HW, (1, 1, 1, 1), mode="replicate")
    rows = padded[:, :, :-2] + padded[:, :, 1:-1] + padded[:, :, 2:]
    return image_B3HW - (rows[..., :-2] + rows[..., 1:-1] + rows[..., 2:]) / 9


def _cosines(device: torch.device) -> Tensor:
    """The orthonormal 8-point cosine transform [8,8]: rows are frequencies."""
    k = torch.arange(8, device=device, dtype=torch.float32)
    basis = torch.cos(math.pi / 8 * (k + 0.5) * k[:, None]) * 0.5
    return torch.where(k[:, None] == 0, basis / math.sqrt(2), basis)


def compress(image_B3HW: Tensor, step_B: Tensor) -> Tensor:
    """The photo with its 8x8 blocks' cosine coefficients rounded to multiples of a step.

    Higher frequencies and color differences get coarser steps. step 0 leaves the photo as it is.
    """
    B, _, H, W = image_B3HW.shape
    padded = F.pad(image_B3HW, (0, -W % 8, 0, -H % 8), mode="replicate")
    grey = padded.mean(1, keepdim=True)
    planes = torch.cat([grey, padded - grey], 1)
    high, wide = planes.shape[-2] // 8, planes.shape[-1] // 8
    basis, k = _cosines(padded.device), torch.arange(8, device=padded.device)
    down = (basis @ planes.reshape(B, 4, high, 8, wide * 8)).view(B, 4, high, 8, wide, 8)
    waves = down @ basis.T
    coarse = 1 + 0.5 * (k[:, None, None] + k)  # [8,1,8]: rows, blocks, columns
    plane = torch.tensor([1.0, 2.5, 2.5, 2.5], device=padded.device)[:, None, None, None, None]
    step = step_B.view(-1, 1, 1, 1, 1, 1).clamp_min(1e-4) * coarse * plane
    kept = (waves / step).round() * step
    across = (kept @ basis).reshape(B, 4, high, 8, wide * 8)
    back = (basis.T @ across).reshape(B, 4, high * 8, wide * 8)[..., :H, :W]
    return torch.where(step_B.view(-1, 1, 1, 1) > 0, back[:, :1] + back[:, 1:], image_B3HW)


def _uneven(x: Tensor, y: Tensor, fields: dict[str, Tensor]) -> Tensor:
    """Factor on the light over the frame: fall-off to the corners, a slope, a slow wave."""
    fall = 1 - fields["vignette"] * (x * x + y * y) * 0.5
    wave = torch.cos(fields["wave_x"] * x + fields["wave_y"] * y + fields["phase"])
    slope = fields["tilt_x"] * x + fields["tilt_y"] * y
    return fall * torch.exp(slope + fields["wave"] * wave)


def expose(radiance_B3HW: Tensor, sensor_BC: Tensor, noise_seed_B: Tensor) -> Tensor:
    """The photo [B,3,H,W] in 0..1 (display gamma) of linear radiance."""
    f = {name: sensor_BC[:, i, None, None, None] for i, name in enumerate(SENSOR_FIELDS)}
    height, width = radiance_B3HW.shape[-2:]
    x = torch.linspace(-1, 1, width, device=radiance_B3HW.device)
    y = torch.linspace(-1, 1, height, device=radiance_B3HW.device)[:, None]
    light = radiance_B3HW * _uneven(x, y, f)
    grey_B1HW = light.mean(1, keepdim=True)
    middle = (grey_B1HW + 1e-3).log().mean((2, 3), keepdim=True).exp()
    # Half way to the mean without its highlights: cameras protect bright surfaces.
    bright = torch.minimum(grey_B1HW, 6 * middle).mean((2, 3), keepdim=True)
    level = (middle * bright).sqrt()
    light = light * torch.cat([f["red"], f["green"], f["blue"]], 1) * (f["key"] / level)
    kernel_BKK = sensor_BC[:, len(SENSOR_FIELDS) :].reshape(-1, TAPS, TAPS)
    light = _filtered(light, kernel_BKK)
    noise = hash_normal(noise_seed_B, 3 * height * width).view_as(light)
    light = light + noise * (f["read"] + f["shot"] * light.clamp_min(0).sqrt())
    grey = light.mean(1, keepdim=True)
    light = (grey + (light - grey) * f["saturation"]).clamp_min(0)
    hard = 1 - torch.exp(-1.7 * light)
    soft = 1.4 * light * (1 + light / 9) / (1 + light)
    film = hard + (soft - hard) * f["shoulder"]
    shown = film.clamp(1e-5, 1).pow(f["gamma"] / 2.2)
    shown = shown + f["curve"] * shown * (1 - shown) * (2 * shown - 1)
    shown = shown + f["sharpen"] * _halo(shown)
    return compress(shown.clamp(0, 1), sensor_BC[:, SENSOR_FIELDS.index("blocks")]).clamp(0, 1)
