"""Between metres and the spaces networks predict in (docs/ppd.md section 5).

L = ln(metres + 1); y = (L - a) / (b - a), a and b = 2 % and 98 % quantiles of L;
target = clamp(y, -0.5, 1) - 0.5, in [-1, 0.5].
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

LOW_QUANTILE, HIGH_QUANTILE = 0.02, 0.98


class LogDepthTarget(NamedTuple):
    """target_BHW in [-1, 0.5]; where not clamped ln(d+1) = low + (high - low) * (target + 0.5)."""

    target_BHW: Tensor
    low_B: Tensor
    high_B: Tensor


def log_depth(depth: Tensor) -> Tensor:
    """ln(metres + 1); 0 stays 0."""
    return torch.log1p(depth)


def metres_from_log_depth(log_depth: Tensor) -> Tensor:
    """Metres of ln(metres + 1)."""
    return torch.expm1(log_depth)


def normalize_log_depth(depth_BHW: Tensor, usable_BHW: Tensor, stats_BHW: Tensor) -> LogDepthTarget:
    """PPD's training target of a map in metres.

    Quantiles are taken over `stats_BHW` (known depth below 80 m); over `usable_BHW` (with sky) for
    an image that has none; an image without any depth gets the range 0..80 m. Pixels outside
    `usable_BHW` carry a value too (metres as given), only the loss may leave them out. The clamp is
    asymmetric: the far end collapses, the nearest 2 % keep some of their differences.
    """
    log_BHW = log_depth(depth_BHW.float())
    has_stats_B11 = stats_BHW.flatten(1).any(dim=1)[:, None, None]
    log_BL = log_BHW.flatten(1)
    chosen_BL = torch.where(has_stats_B11, stats_BHW, usable_BHW).flatten(1)
    low_B = masked_quantile(log_BL, chosen_BL, share=LOW_QUANTILE)
    high_B = masked_quantile(log_BL, chosen_BL, share=HIGH_QUANTILE)
    low_B = torch.nan_to_num(low_B, nan=0.0)
    high_B = torch.nan_to_num(high_B, nan=4.394449)  # ln(81)
    high_B = torch.where(high_B - low_B < 1e-6, low_B + 1e-6, high_B)
    y_BHW = (log_BHW - low_B[:, None, None]) / (high_B - low_B)[:, None, None]
    return LogDepthTarget(y_BHW.clamp(-0.5, 1.0) - 0.5, low_B, high_B)


def masked_quantile(value_BL: Tensor, chosen_BL: Tensor, *, share: float) -> Tensor:
    """Quantile [B] over the chosen entries of each row, linear interpolation; NaN if none.

    One sort for the whole batch: torch.quantile takes neither masks nor 16 million entries.
    """
    ordered_BL = value_BL.masked_fill(~chosen_BL, torch.inf).sort(dim=1).values
    count_B = chosen_BL.sum(dim=1)
    rank_B = share * (count_B - 1).clamp_min(0).double()
    below_B = ordered_BL.gather(1, rank_B.floor().long()[:, None])[:, 0]
    above_B = ordered_BL.gather(1, rank_B.ceil().long()[:, None])[:, 0]
    weight_B = rank_B.frac().to(value_BL.dtype)
    between_B = below_B + weight_B * (above_B - below_B)
    return torch.where(count_B > 0, between_B, torch.nan)
