"""Slopes of a coarse map made steps where the photo has its edges.

A map that comes from coarse features passes from one surface to the next over many pixels. The
weighted median of a neighborhood, weights from likeness of color and nearness (Zhang et al.,
"100+ Times Faster Weighted Median Filter", CVPR 2014, eq. 1), gives every pixel a value that is
there already, mostly one of the surface whose color it has.

Shapes: B batch, H W pixels, P pixels beside a slope, K places around each.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from nearfar.errors import ConfigError

_REACH = 6  # pixels; of the places in that disc every second one, as on a chessboard
_COLOR, _SPATIAL = 0.1, 4.0  # standard deviations: RGB 0..1, pixels
_PLANE = 1.75  # change over twice the distance, as a multiple; a plane has 2, a step 1
_AT_ONCE = 1 << 14  # pixels whose places are held together: 20 MB


def snap_edges(
    map_B1HW: Tensor, image_B3HW: Tensor, *, least_step: float, rounds: int = 2
) -> Tensor:
    """The map with steps for slopes, float32; values are picked, never mixed.

    image: RGB 0..1 of the same size. least_step: pixels around which the map changes by less than
    this keep their value. A second round sees the steps of the first.
    """
    if map_B1HW.shape[-2:] != image_B3HW.shape[-2:] or map_B1HW.shape[1] != 1:
        raise ConfigError(
            "snap_edges", f"map {list(map_B1HW.shape)}, photo {list(image_B3HW.shape)}"
        )
    map_B1HW = map_B1HW.float()
    image_B3HW = _padded(image_B3HW.float())
    for _ in range(rounds):
        map_B1HW = _medians(map_B1HW, image_B3HW, least_step=least_step)
    return map_B1HW


def _medians(map_B1HW: Tensor, padded_B3HW: Tensor, *, least_step: float) -> Tensor:
    wide = _padded(map_B1HW)
    batch_P, row_P, column_P = _is_edge(map_B1HW, least_step)[:, 0].nonzero(as_tuple=True)
    # Places around a pixel as offsets in the padded map, and what their distance is worth. [K]
    width = wide.shape[-1]
    line = torch.arange(-_REACH, _REACH + 1, device=map_B1HW.device)
    down_K, right_K = (grid.flatten() for grid in torch.meshgrid(line, line, indexing="ij"))
    is_chosen_K = (down_K**2 + right_K**2 <= _REACH**2) & ((down_K + right_K) % 2 == 0)
    down_K, right_K = down_K[is_chosen_K], right_K[is_chosen_K]
    offset_K = down_K * width + right_K
    nearness_K = -(down_K**2 + right_K**2) / (2 * _SPATIAL**2)
    center_P = (batch_P * wide.shape[-2] + row_P + _REACH) * width + column_P + _REACH
    values_L = wide.flatten()
    colors_3L = padded_B3HW.transpose(0, 1).flatten(1)
    out_B1HW = map_B1HW.clone()
    for start in range(0, len(center_P), _AT_ONCE):
        part = slice(start, start + _AT_ONCE)
        at_p1 = center_P[part, None]
        at_pK = at_p1 + offset_K
        cost_pK = torch.zeros(at_pK.shape, device=map_B1HW.device)
        for color_L in colors_3L:
            cost_pK += (_taken(color_L, at_pK) - _taken(color_L, at_p1)).square_()
        weight_pK = cost_pK.div_(-2 * _COLOR**2).add_(nearness_K).exp_()
        value_pK, order_pK = _taken(values_L, at_pK).sort(dim=1)
        total_pK = weight_pK.gather(1, order_pK).cumsum_(dim=1)
        middle_p1 = (total_pK < total_pK[:, -1:] / 2).sum(dim=1, keepdim=True)
        found_p = value_pK.gather(1, middle_p1)[:, 0]
        out_B1HW[batch_P[part], 0, row_P[part], column_P[part]] = found_p
    return out_B1HW


def _taken(flat_L: Tensor, at_pK: Tensor) -> Tensor:
    """flat_L[at_pK], several times quicker."""
    return flat_L.index_select(0, at_pK.flatten()).view(at_pK.shape)


def _is_edge(map_B1HW: Tensor, least_step: float) -> Tensor:
    """Where the map changes around a pixel, and hardly more around it at twice the distance.

    A plane in perspective changes twice as much over twice the distance, and is left alone; beyond
    the borders the map goes on as it comes (point reflection), so that planes stay planes there.
    """
    border = (2 * _REACH,) * 4
    if min(map_B1HW.shape[-2:]) <= border[0]:
        return torch.zeros_like(map_B1HW, dtype=torch.bool)
    wide = 2 * F.pad(map_B1HW, border, mode="replicate") - F.pad(map_B1HW, border, mode="reflect")
    changes = []
    highest, lowest = wide, -wide
    for _ in range(2):
        highest, lowest = largest_around(highest, _REACH), largest_around(lowest, _REACH)
        changes.append((highest + lowest)[..., 2 * _REACH : -2 * _REACH, 2 * _REACH : -2 * _REACH])
    near_B1HW, far_B1HW = changes
    return (near_B1HW >= least_step) & (far_B1HW < _PLANE * near_B1HW)


def largest_around(map_BCHW: Tensor, reach: int) -> Tensor:
    """The largest value of the square that reaches so many pixels from each: columns, then rows."""
    side = 2 * reach + 1
    map_BCHW = F.max_pool2d(map_BCHW, (side, 1), 1, (reach, 0))
    return F.max_pool2d(map_BCHW, (1, side), 1, (0, reach))


def _padded(x_BCHW: Tensor) -> Tensor:
    return F.pad(x_BCHW, (_REACH,) * 4, mode="replicate")
