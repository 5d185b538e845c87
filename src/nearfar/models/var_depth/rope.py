"""Rotary positions of Switti: every scale spans the same square (spec var_depth.md B4).

Token (row r, column q) of a p x p map: step = 128 / max(p - 1, 1), angles
[q step t_i, r step t_i], t_i = 10000^(-4i/E), i = 0..E/4-1. Adjacent channels (2j, 2j+1) turn by
angle j. Shapes: B batch, N heads, L tokens, E head width.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

SIZE, THETA = 128, 10000.0


class RopeTables(NamedTuple):
    """Cosine and sine of the E/2 angles of every token, [L,E/2] float32."""

    cos_LE: Tensor
    sin_LE: Tensor

    def part(self, first: int, last: int) -> RopeTables:
        """The tables of tokens first..last-1."""
        return RopeTables(self.cos_LE[first:last], self.sin_LE[first:last])


def scale_tables(
    sides: Sequence[int],
    *,
    head_width: int,
    device: torch.device | None = None,
) -> RopeTables:
    """Tables of all tokens of the scales, row-major within each."""
    index_E = torch.arange(head_width // 4, dtype=torch.float32, device=device)
    frequency_E = THETA ** (-4 * index_E / head_width)
    angles = []
    for side in sides:
        place_L = torch.arange(side, device=device).float() * (SIZE / max(side - 1, 1))
        angle_LE = torch.outer(place_L, frequency_E)
        columns_LLE, rows_LLE = angle_LE.expand(side, -1, -1), angle_LE[:, None]
        rows_LLE = rows_LLE.expand(-1, side, -1)
        angles.append(torch.cat([columns_LLE, rows_LLE], dim=-1).flatten(0, 1))
    all_LE = torch.cat(angles)
    return RopeTables(all_LE.cos(), all_LE.sin())


def apply_rope(x_BNLE: Tensor, tables: RopeTables) -> Tensor:
    """The turned vectors [B,N,L,E]."""
    even_BNLE, odd_BNLE = x_BNLE.unflatten(-1, (-1, 2)).unbind(-1)
    cos_LE, sin_LE = tables
    turned = (even_BNLE * cos_LE - odd_BNLE * sin_LE, even_BNLE * sin_LE + odd_BNLE * cos_LE)
    return torch.stack(turned, dim=-1).flatten(-2)
