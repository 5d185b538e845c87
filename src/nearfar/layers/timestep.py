"""Sinusoidal time embedding: v = [cos(t f), sin(t f)], f_k = 10000^(-k/half) (docs/ppd.md 1.2)."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def timestep_sinusoid(timestep_B: Tensor, *, channels: int = 256) -> Tensor:
    """[B,channels] float32, cosines first; times on the network's scale (PPD: 0..1000)."""
    half = channels // 2
    index = torch.arange(half, dtype=torch.float32, device=timestep_B.device)
    frequency_D = torch.exp(-math.log(10000) * index / half)
    angle_BD = timestep_B.float()[:, None] * frequency_D
    return torch.cat([angle_BD.cos(), angle_BD.sin()], dim=-1)


class TimestepEmbedder(nn.Module):
    """Sinusoid, Linear, SiLU, Linear; always float32."""

    def __init__(self, width: int, *, channels: int = 256) -> None:
        super().__init__()
        self.channels = channels
        self.mlp = nn.Sequential(nn.Linear(channels, width), nn.SiLU(), nn.Linear(width, width))

    def forward(self, timestep_B: Tensor) -> Tensor:
        """Time embedding [B,D] float32, whatever the dtype of the weights."""
        # float32 island: bfloat16 cannot tell timestep 999 from 1000, and one row costs nothing.
        with torch.autocast(timestep_B.device.type, enabled=False):
            wave_BD = timestep_sinusoid(timestep_B, channels=self.channels)
            return _linear(F.silu(_linear(wave_BD, self.mlp[0])), self.mlp[2])


def _linear(x_BD: Tensor, layer: nn.Module) -> Tensor:
    """The Linear applied with its weights in float32."""
    assert isinstance(layer, nn.Linear)
    return F.linear(x_BD, layer.weight.float(), layer.bias.float())
