"""Contact sheets of photos and depth, for a look at data."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from nearfar.data.sample import DepthBatch

SHEET_COLUMNS = 8


class Tiles(NamedTuple):
    """A photo and its depth in color, both [H,W,3] uint8."""

    photo: NDArray[np.uint8]
    depth: NDArray[np.uint8]


def depth_tile(
    rgb_HW3: NDArray[np.uint8], depth_HW: NDArray[np.float32], valid_HW: NDArray[np.bool_]
) -> Tiles:
    """The photo beside log depth in color: near = warm, sky and unknown black."""
    import numpy as np

    from nearfar.viz.colormap import apply_colormap

    log_HW = np.log(np.maximum(depth_HW, 1e-3))
    low, high = np.quantile(log_HW[valid_HW], (0.01, 0.99)) if valid_HW.any() else (0.0, 1.0)
    share_HW = np.clip((log_HW - low) / max(high - low, 1e-6), 0, 1)
    color = apply_colormap(share_HW, "spectral").copy()
    color[~valid_HW] = 0
    return Tiles(rgb_HW3, color)


def depth_tiles(batch: DepthBatch) -> list[Tiles]:
    """A tile of each sample of a batch."""
    import numpy as np

    tiles = []
    for image, depth, valid, _, _ in zip(*batch):
        photo = (image.permute(1, 2, 0).numpy() * 255).round().astype(np.uint8)
        tiles.append(depth_tile(photo, depth.numpy(), valid.numpy()))
    return tiles


def write_sheet(tiles: list[Tiles], sheet: Path) -> None:
    """A PNG with rows of photos and, below each, its depth."""
    from nearfar.io.atomic import ensure_folder
    from nearfar.io.images import write_picture
    from nearfar.viz.panel import contact_sheet

    columns = min(SHEET_COLUMNS, len(tiles))
    rows: list[NDArray[np.uint8]] = []
    for start in range(0, len(tiles), columns):
        row = tiles[start : start + columns]
        row += [Tiles(row[-1].photo * 0, row[-1].depth * 0)] * (columns - len(row))
        rows += [tile.photo for tile in row] + [tile.depth for tile in row]
    ensure_folder(sheet.parent)
    write_picture(contact_sheet(rows, columns=columns, gap=2), sheet)
