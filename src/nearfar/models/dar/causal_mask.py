"""Steps of DAR on token maps: their sizes, who may attend to whom (spec dar.md 3a, 10.4, 10.12).

Tokens of steps 1..k lie one after the other, each step row-major. A token of step i may see a
token of step j iff i >= j: block lower-triangular, full attention inside a step. Released code:
builds this mask but its attention does not apply it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

GridSize = tuple[int, int]
_ASPECT = 3 / 4  # rows per column of the photos that `last_grid` is given for


def causal_mask(sizes_hw: Sequence[GridSize], *, device: torch.device | None = None) -> Tensor:
    """Boolean [L,L], True where the query (row) may attend to the key (column)."""
    counts = [h * w for h, w in sizes_hw]
    level_L = torch.repeat_interleave(
        torch.arange(len(counts), device=device), torch.tensor(counts, device=device)
    )
    return level_L[:, None] >= level_L[None, :]


def step_sizes(
    image_hw: GridSize, *, last_grid: GridSize, fractions: Sequence[float]
) -> list[GridSize]:
    """Token maps (rows, columns) of every step for a photo of any aspect.

    `last_grid` belongs to 3:4 photos; others keep about as many tokens. Every side has 2 or more.
    """
    stretch = math.sqrt(image_hw[0] / image_hw[1] / _ASPECT)
    last = max(2, round(last_grid[0] * stretch)), max(2, round(last_grid[1] / stretch))
    return [(max(2, round(last[0] * f)), max(2, round(last[1] * f))) for f in fractions]
