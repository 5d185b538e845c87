"""Weights or whole input columns of a linear layer removed; the rest makes up for them.

The optimal brain surgeon for one layer: of all weights that have the zeros, those whose output is
nearest for the inputs that the Hessian sums up (hessian.py). weight: [out,in]. hessian: [in,in],
in any scale. All work is done in float64 and nothing given is changed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from nearfar.errors import ConfigError

from .ranking import reciprocal_rank_fusion

_LEAST_AT_ONCE, _MOST_AT_ONCE, _PER_ROUND = 64, 1024, 512


class Columns(NamedTuple):
    """A weight whose removed columns are 0, and their indices, rising."""

    weight: Tensor
    removed: Tensor


def obs_prune(
    weight: Tensor,
    hessian: Tensor,
    sparsity: float,
    *,
    n: int = 0,
    m: int = 0,
    block_size: int = 128,
    damp: float = 0.01,
) -> Tensor:
    """The weight with a share of zeros, chosen and made up for column by column.

    sparsity: the share, by one threshold per block of columns. n, m: n zeros among every m inputs
    of each row instead (2:4 is n=2, m=4). Inputs that are always 0 lose their weights too.
    """
    require_pattern(weight.shape[1], sparsity, n=n, m=m)
    work, matrix = _prepared(weight, hessian, damp)
    factor = torch.linalg.cholesky(_inverse(matrix), upper=True)
    width = work.shape[1]
    for start in range(0, width, block_size):
        stop = min(start + block_size, width)
        block, inner = work[:, start:stop], factor[start:stop, start:stop]
        mask = _block_mask(block, inner, sparsity) if m == 0 else torch.zeros_like(block) > 0
        errors = torch.zeros_like(block)
        for j in range(stop - start):
            if m and j % m == 0:
                group = slice(j, j + m)
                scores = (block[:, group] / inner.diagonal()[group]) ** 2
                mask[:, group] = lowest(scores, n)
            kept = block[:, j].masked_fill(mask[:, j], 0)
            errors[:, j] = (block[:, j] - kept) / inner[j, j]
            block[:, j:] -= errors[:, j, None] * inner[j, j:]
            block[:, j] = kept
        work[:, stop:] -= errors @ factor[start:stop, stop:]
    return work.to(weight.dtype)


def obs_prune_columns(
    weight: Tensor,
    hessian: Tensor,
    sparsity: float,
    *,
    group_size: int = 1,
    damp: float = 0.01,
    compensate: bool = True,
) -> Columns:
    """The weight without a share of its input columns (as zeros), the rest made up for them.

    group_size: columns that go together (the width of a head); 1 for neurons. compensate: False
    only zeroes what it chooses.
    """
    weights, removed = obs_prune_columns_joint(
        [weight], [hessian], sparsity, group_size=group_size, damp=damp, compensate=compensate
    )
    return Columns(weights[0], removed)


def obs_prune_columns_joint(
    weights: Sequence[Tensor],
    hessians: Sequence[Tensor],
    sparsity: float,
    *,
    group_size: int = 1,
    damp: float = 0.01,
    compensate: bool = True,
) -> tuple[list[Tensor], Tensor]:
    """Several weights that lose the same columns: rankings of all fused, each made up for alone."""
    width = weights[0].shape[1]
    target = columns_to_remove(width, sparsity, group_size)
    pairs = [_prepared(w, h, damp) for w, h in zip(weights, hessians, strict=True)]
    gone = torch.zeros(width, dtype=torch.bool, device=weights[0].device)
    pace = (target - _PER_ROUND) // 2
    while (left := target - int(gone.sum())) > 0:
        inverses = [_inverse(matrix) for _, matrix in pairs]
        scores = [
            _group_scores(work, inverse, group_size, gone)
            for (work, _), inverse in zip(pairs, inverses, strict=True)
        ]
        count = min(left, max(pace, _LEAST_AT_ONCE), _MOST_AT_ONCE) if group_size == 1 else 1
        pace = (pace - _PER_ROUND) // 2
        chosen = _columns_of(_least_important(scores, count), group_size)
        gone[chosen] = True
        for (work, matrix), inverse in zip(pairs, inverses, strict=True):
            if compensate:
                within, across = inverse[chosen][:, chosen], inverse[chosen]
                work -= work[:, chosen] @ torch.linalg.solve(within, across)
            work[:, gone] = 0  # exactly: earlier ones stay gone
            matrix[chosen] = 0
            matrix[:, chosen] = 0
            matrix[chosen, chosen] = 1
    pruned = [work.to(w.dtype) for (work, _), w in zip(pairs, weights, strict=True)]
    return pruned, gone.nonzero().flatten()


def columns_to_remove(width: int, sparsity: float, group_size: int) -> int:
    """How many columns a share means; ConfigError if that leaves none, or groups do not fit."""
    if not 0 <= sparsity < 1:
        raise ConfigError("sparsity", f"{sparsity:g}", "A share from 0 to below 1")
    if group_size < 1 or width % group_size:
        raise ConfigError("group size", f"{group_size} does not divide {width} columns")
    groups = width // group_size
    return min(round(groups * sparsity), groups - 1) * group_size


def require_pattern(width: int, sparsity: float, *, n: int, m: int) -> None:
    """Pass if a share of zeros, or n of m, is possible for rows of this width; else ConfigError."""
    if m == 0 and not 0 <= sparsity < 1:
        raise ConfigError("sparsity", f"{sparsity:g}", "A share from 0 to below 1")
    if m and not 0 < n < m:
        raise ConfigError("pattern", f"{n}:{m}", "Zeros among inputs, such as 2:4")
    if m and width % m:
        raise ConfigError("pattern", f"{n}:{m} does not fit rows of {width} inputs")


def lowest(scores: Tensor, count: int) -> Tensor:
    """Where the `count` lowest scores of each row are."""
    mask = torch.zeros_like(scores, dtype=torch.bool)
    return mask.scatter_(1, scores.topk(count, dim=1, largest=False).indices, True)


def _block_mask(block: Tensor, factor: Tensor, sparsity: float) -> Tensor:
    """Where the least important weights of a block are: one threshold over all its rows."""
    scores = (block / factor.diagonal()) ** 2
    if sparsity == 0:
        return torch.zeros_like(scores, dtype=torch.bool)
    threshold = scores.flatten().sort().values[int(scores.numel() * sparsity)]
    return scores <= threshold


def _prepared(weight: Tensor, hessian: Tensor, damp: float) -> tuple[Tensor, Tensor]:
    """Copies in float64: weights of dead inputs gone, the Hessian damped."""
    work, matrix = weight.double().clone(), hessian.double().clone()
    dead = matrix.diagonal() == 0
    matrix[dead, dead] = 1
    work[:, dead] = 0
    matrix.diagonal().add_(damp * matrix.diagonal().mean())
    return work, matrix


def _inverse(matrix: Tensor) -> Tensor:
    return torch.cholesky_inverse(torch.linalg.cholesky(matrix))


def _group_scores(work: Tensor, inverse: Tensor, group_size: int, gone: Tensor) -> Tensor:
    """The error that each group's removal would make; infinite for those gone already."""
    if group_size == 1:
        scale = inverse.diagonal()
    else:
        starts = range(0, len(inverse), group_size)
        blocks = torch.stack([inverse[i : i + group_size, i : i + group_size] for i in starts])
        scale = torch.linalg.cholesky(blocks).diagonal(dim1=1, dim2=2).flatten() ** 2
    scores = (work.square().sum(0) / scale).view(-1, group_size).sum(1)
    return scores.masked_fill(gone[::group_size], torch.inf)


def _least_important(scores: Sequence[Tensor], count: int) -> list[int]:
    """The groups with the lowest scores, those of several weights fused by rank."""
    rankings = [s.argsort(stable=True)[: int(s.isfinite().sum())].tolist() for s in scores]
    order = rankings[0] if len(rankings) == 1 else list(reciprocal_rank_fusion(rankings))
    return order[:count]


def _columns_of(groups: Sequence[int], group_size: int) -> Tensor:
    """All columns of groups, rising."""
    starts = torch.tensor(sorted(groups))[:, None] * group_size
    return (starts + torch.arange(group_size)).flatten()
