"""What pruning without a Hessian's inverse would do, by the interface of surgeon.py.

Nothing makes up for what is removed: these are what OBS is measured against.
"""

from __future__ import annotations

import torch
from torch import Tensor

from .surgeon import Columns, columns_to_remove, lowest, require_pattern


def magnitude_prune(
    weight: Tensor, hessian: Tensor, sparsity: float, *, n: int = 0, m: int = 0
) -> Tensor:
    """The weight without its smallest entries: of the whole matrix, or n of every m in a row."""
    require_pattern(weight.shape[1], sparsity, n=n, m=m)
    if m:
        return _without_n_of_m(weight, weight.abs(), n, m)
    flat = lowest(weight.abs().view(1, -1), int(weight.numel() * sparsity))
    return weight.masked_fill(flat.view_as(weight), 0)


def wanda_prune(
    weight: Tensor, hessian: Tensor, sparsity: float, *, n: int = 0, m: int = 0
) -> Tensor:
    """The weight without the smallest of |w| times its input's norm in each row (arXiv 2306.11695).

    n, m: the smallest n of every m instead.
    """
    require_pattern(weight.shape[1], sparsity, n=n, m=m)
    scores = weight.abs() * hessian.diagonal().sqrt()
    if m:
        return _without_n_of_m(weight, scores, n, m)
    return weight.masked_fill(lowest(scores, int(weight.shape[1] * sparsity)), 0)


def l1_prune_columns(
    weight: Tensor, hessian: Tensor, sparsity: float, *, group_size: int = 1
) -> Columns:
    """The weight with those columns (groups of them) zeroed whose absolute sum is smallest."""
    count = columns_to_remove(weight.shape[1], sparsity, group_size) // group_size
    scores = weight.abs().sum(0).view(1, -1, group_size).sum(2)
    gone = lowest(scores, count)[0].repeat_interleave(group_size)
    return Columns(weight.masked_fill(gone, 0), gone.nonzero().flatten())


def _without_n_of_m(weight: Tensor, scores: Tensor, n: int, m: int) -> Tensor:
    mask = lowest(scores.reshape(-1, m), n).view_as(weight)
    return torch.where(mask, 0, weight)
