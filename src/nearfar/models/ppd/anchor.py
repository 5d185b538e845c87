"""The encoder's own map as the frame in which a small PPD network works, and its targets there.

A network with prediction "clean" answers with a correction to the map that its encoder already
knows. Both live in the encoder's frame: y = (ln(metres + 1) - low) / (high - low) - 1/2, low and
high the 2 % and 98 % quantiles of the encoder's map, so that metres stay the encoder's business.
The encoder's slopes at edges are made steps first (geometry/snap.py).

Shapes: B batch, H W pixels.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from nearfar.encoders.base import MetricGuess
from nearfar.geometry.depth_space import (
    HIGH_QUANTILE,
    LOW_QUANTILE,
    log_depth,
    masked_quantile,
)
from nearfar.geometry.snap import snap_edges

SKY = 0.6  # where sky lies in the frame: just beyond the farthest surface
_FARTHEST = 0.7  # the encoder's map is clamped to this either side
_FARTHEST_TARGET = 1.2
_LEAST_RANGE = 0.05  # of ln(metres + 1) between the quantiles: a wall seen head-on
_LEAST_STEP = 0.06  # of the map around a pixel, below which nothing is made sharper
_SCALES = (0.3, 1.5)  # what the fit of a true map to the encoder's may stretch it by


class Anchor(NamedTuple):
    """map_B1HW: the encoder's map in its own frame, with steps at edges.

    ln(metres + 1) = low + range * (map + 1/2).
    """

    map_B1HW: Tensor
    low_B: Tensor
    range_B: Tensor

    def log_depth(self, clean_B1HW: Tensor) -> Tensor:
        """ln(metres + 1) [B,1,H,W] of a map in this frame."""
        low_B111, range_B111 = self.low_B[:, None, None, None], self.range_B[:, None, None, None]
        return low_B111 + range_B111 * (clean_B1HW + 0.5)


class AnchoredTarget(NamedTuple):
    """clean_B1HW: the true map fitted to the encoder's frame; usable_B1HW: where it is known."""

    clean_B1HW: Tensor
    usable_B1HW: Tensor


def anchor_of(guess: MetricGuess, image_B3HW: Tensor) -> Anchor:
    """The frame of an encoder's metric guess of a photo (RGB 0..1), and its map in it."""
    log_BHW, valid_BHW = log_depth(guess.depth_BHW.float()), guess.valid_BHW
    has_depth_B1 = valid_BHW.flatten(1).any(dim=1, keepdim=True)
    chosen_BL = torch.where(has_depth_B1, valid_BHW.flatten(1), True)  # all sky: take everything
    low_B = masked_quantile(log_BHW.flatten(1), chosen_BL, share=LOW_QUANTILE)
    high_B = masked_quantile(log_BHW.flatten(1), chosen_BL, share=HIGH_QUANTILE)
    range_B = (high_B - low_B).clamp_min(_LEAST_RANGE)
    map_BHW = (log_BHW - low_B[:, None, None]) / range_B[:, None, None] - 0.5
    map_BHW = map_BHW.clamp(-_FARTHEST, _FARTHEST)
    map_BHW = torch.where(valid_BHW, map_BHW, SKY)
    map_B1HW = snap_edges(map_BHW[:, None], image_B3HW, least_step=_LEAST_STEP)
    return Anchor(map_B1HW, low_B, range_B)


def anchored_target(
    depth_BHW: Tensor, anchor: Anchor, *, valid_BHW: Tensor, sky_BHW: Tensor
) -> AnchoredTarget:
    """The true map in metres as a target in the anchor's frame.

    ln(metres + 1) is brought there by the scale and shift that fit it to the encoder's map best
    (least squares over known pixels), so that only shape is left to correct.
    """
    truth_BHW = log_depth(depth_BHW.float())
    known_BHW = valid_BHW & ~sky_BHW
    count_B11 = known_BHW.sum(dim=(1, 2), keepdim=True).clamp_min(1)

    def mean(x_BHW: Tensor) -> Tensor:
        return (x_BHW * known_BHW).sum(dim=(1, 2), keepdim=True) / count_B11

    map_BHW = anchor.map_B1HW[:, 0]
    truth_mean, map_mean = mean(truth_BHW), mean(map_BHW)
    apart_BHW = truth_BHW - truth_mean
    # scale in units of the frame: a perfect encoder has 1 / range
    least, most = _SCALES
    unit_B11 = 1 / anchor.range_B[:, None, None]
    scale_B11 = mean(apart_BHW * (map_BHW - map_mean)) / mean(apart_BHW.square()).clamp_min(1e-6)
    scale_B11 = torch.maximum(torch.minimum(scale_B11, most * unit_B11), least * unit_B11)
    clean_BHW = (apart_BHW * scale_B11 + map_mean).clamp(-_FARTHEST_TARGET, _FARTHEST_TARGET)
    clean_BHW = torch.where(sky_BHW, SKY, clean_BHW)
    return AnchoredTarget(clean_BHW[:, None], (valid_BHW | sky_BHW)[:, None])
