"""Pictures put together: side by side, and sheets of tiles."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from nearfar.errors import ConfigError

_PAPER = 255  # white between the pictures


def side_by_side(*pictures: NDArray[np.uint8], gap: int = 8) -> NDArray[np.uint8]:
    """One RGB picture: the given ones from left to right, tops aligned, a white gap between."""
    return contact_sheet(pictures, columns=len(pictures), gap=gap)


def contact_sheet(
    tiles: Sequence[NDArray[np.uint8]], *, columns: int, gap: int = 8
) -> NDArray[np.uint8]:
    """RGB sheet of tiles (any sizes, grey or RGB uint8) in reading order, white elsewhere.

    A row is as high as its highest tile, a column as wide as its widest; no outer margin.
    """
    if not tiles or columns < 1:
        raise ConfigError("contact_sheet", f"{len(tiles)} tiles in {columns} columns")
    for i, tile in enumerate(tiles):
        if tile.dtype != np.uint8 or not (
            tile.ndim == 2 or (tile.ndim == 3 and tile.shape[2] == 3)
        ):
            raise ConfigError(
                f"tile {i}", f"expected uint8 [H,W] or [H,W,3], got {tile.dtype} {tile.shape}"
            )
    columns = min(columns, len(tiles))
    rows = -(-len(tiles) // columns)
    heights = [max(t.shape[0] for t in tiles[r * columns : (r + 1) * columns]) for r in range(rows)]
    widths = [max(t.shape[1] for t in tiles[c::columns]) for c in range(columns)]
    size = (sum(heights) + gap * (rows - 1), sum(widths) + gap * (columns - 1), 3)
    sheet = np.full(size, _PAPER, np.uint8)
    for i, tile in enumerate(tiles):
        row, column = divmod(i, columns)
        top, left = sum(heights[:row]) + gap * row, sum(widths[:column]) + gap * column
        color = tile if tile.ndim == 3 else tile[..., None]
        sheet[top : top + tile.shape[0], left : left + tile.shape[1]] = color
    return sheet
