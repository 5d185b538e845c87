"""Rotary positions on a 2-D token grid (docs/ppd.md section 1.6).

The head width E is split in two halves: the first rotates with the row index, the second with the
column index. Inside a half of width c element j pairs with j + c/2:
(u, v) -> (u cos a - v sin a, v cos a + u sin a), a = position * base^(-2j/c).
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class RopeTables(NamedTuple):
    """cos_L1E: cosine of every element's angle; sin_L1E: its sine, negated for the u elements."""

    cos_L1E: Tensor
    sin_L1E: Tensor


def rope_tables(
    grid_hw: tuple[int, int],
    *,
    head_width: int,
    base: float = 100.0,
    dtype: torch.dtype = torch.float32,
    device: torch.device | None = None,
) -> RopeTables:
    """Tables for a row-major grid; angles in float32, then cast to the compute dtype."""
    h, w = grid_hw
    c = head_width // 2
    frequency = base ** (-2 * torch.arange(c // 2, dtype=torch.float32, device=device) / c)
    rows_hwE = torch.outer(torch.arange(h, device=device).float(), frequency)[:, None].expand(
        h, w, c // 2
    )
    columns_hwE = torch.outer(torch.arange(w, device=device).float(), frequency)[None].expand(
        h, w, c // 2
    )
    angle_hwE = torch.cat([rows_hwE, rows_hwE, columns_hwE, columns_hwE], dim=-1)
    angle_L1E = angle_hwE.reshape(h * w, 1, head_width)
    sign_E = torch.ones(2, 2, c // 2, device=device)
    sign_E[:, 0] = -1
    cos_L1E, sin_L1E = angle_L1E.cos(), angle_L1E.sin() * sign_E.flatten()
    return RopeTables(cos_L1E.to(dtype), sin_L1E.to(dtype))


def apply_rope(x_BLNE: Tensor, tables: RopeTables) -> Tensor:
    """The rotated vectors [B,L,N,E]."""
    swapped_BLNE = x_BLNE.unflatten(-1, (2, 2, -1)).flip(-2).flatten(-3)
    return torch.addcmul(x_BLNE * tables.cos_L1E, swapped_BLNE, tables.sin_L1E)
