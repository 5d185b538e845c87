"""Multi-way tree bins (arXiv 2411.11361, "MTBin"; spec dar.md section 5).

N uniform bins per pixel over [near, far]. A step gives probabilities p_i of the bins; with their
centers c_i, depth D = sum p_i c_i and spread = sqrt(sum p_i (c_i - D)^2). With t the bin that
holds D, the next step's bins divide [edge(max(t-1, 0)), edge(min(t+2, N))] into N again: a bin and
its neighbors. No gradient passes edges, centers or t. Released code: see released_bins.py.

Uniform bins need two numbers per pixel: the first edge and the width of a bin.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

import torch
from torch import Tensor
from torch.nn import functional as F


class Expectation(NamedTuple):
    """depth_B1hw: mean of the bins; spread_B1hw: their standard deviation, same unit."""

    depth_B1hw: Tensor
    spread_B1hw: Tensor


class Shares(NamedTuple):
    """probability_BChw: of the bins; centers_BChw: theirs."""

    probability_BChw: Tensor
    centers_BChw: Tensor


class Bins(Protocol):
    """Bins in force at a step."""

    def centers(self) -> Tensor:
        """Centers [B,N,h,w], the N bins as channels."""
        ...

    def resized(self, size_hw: tuple[int, int]) -> Bins:
        """The same bins on another grid, by nearest pixel: edges of neighbors never mix."""
        ...

    def after(self, found: Expectation) -> Bins:
        """The bins of the next step."""
        ...


class TreeBins(NamedTuple):
    """left_B1hw: first edge; step_B1hw: width of a bin; total: number of bins."""

    left_B1hw: Tensor
    step_B1hw: Tensor
    total: int

    def edges(self) -> Tensor:
        """The total + 1 edges [B,N+1,h,w]."""
        return self.left_B1hw + self._numbers(self.total + 1) * self.step_B1hw

    def centers(self) -> Tensor:
        """Centers [B,N,h,w], the N bins as channels."""
        return self.left_B1hw + (self._numbers(self.total) + 0.5) * self.step_B1hw

    def label(self, depth_B1hw: Tensor) -> Tensor:
        """Index [B,1,h,w] of the bin that holds the depth; the nearest one beyond the range."""
        place_B1hw = ((depth_B1hw.detach() - self.left_B1hw) / self.step_B1hw).floor()
        return place_B1hw.clamp(0, self.total - 1).long()

    def resized(self, size_hw: tuple[int, int]) -> TreeBins:
        """The same bins on another grid, by nearest pixel: edges of neighbors never mix."""
        if tuple(self.left_B1hw.shape[-2:]) == size_hw:
            return self
        left_B1hw = F.interpolate(self.left_B1hw, size=size_hw, mode="nearest")
        return TreeBins(
            left_B1hw, F.interpolate(self.step_B1hw, size=size_hw, mode="nearest"), self.total
        )

    def after(self, found: Expectation) -> TreeBins:
        """The bin that holds the depth with its neighbors, divided again."""
        label_B1hw = self.label(found.depth_B1hw)
        first_B1hw = (label_B1hw - 1).clamp_min(0)
        last_B1hw = (label_B1hw + 2).clamp_max(self.total)
        left_B1hw = self.left_B1hw + first_B1hw * self.step_B1hw
        return TreeBins(
            left_B1hw, (last_B1hw - first_B1hw) * self.step_B1hw / self.total, self.total
        )

    def _numbers(self, count: int) -> Tensor:
        like = self.left_B1hw
        return torch.arange(count, dtype=like.dtype, device=like.device)[:, None, None]


def uniform_bins(
    size_hw: tuple[int, int],
    *,
    batch: int,
    near: float,
    far: float,
    count: int,
    device: torch.device | None = None,
) -> TreeBins:
    """The first step's bins, equal for all pixels, float32."""
    left_B1hw = torch.full((batch, 1, *size_hw), near, device=device)
    return TreeBins(left_B1hw, torch.full_like(left_B1hw, (far - near) / count), count)


def expectation(probability_BChw: Tensor, centers_BChw: Tensor) -> Expectation:
    """Mean and standard deviation of the bins; the spread carries no gradient."""
    depth_B1hw = (probability_BChw * centers_BChw).sum(dim=1, keepdim=True)
    shares = Shares(probability_BChw, centers_BChw)
    return Expectation(depth_B1hw, spread_around(depth_B1hw, shares))


@torch.no_grad()
def spread_around(depth_B1hw: Tensor, shares: Shares) -> Tensor:
    """Root mean square distance [B,1,h,w] of bins from a depth; they may be of a coarser grid."""
    probability_BChw, centers_BChw = shares
    size_hw = (depth_B1hw.shape[-2], depth_B1hw.shape[-1])
    if tuple(centers_BChw.shape[-2:]) != size_hw:
        probability_BChw, centers_BChw = (
            F.interpolate(map_BChw, size=size_hw, mode="nearest") for map_BChw in shares
        )
    square_BChw = (centers_BChw - depth_B1hw) ** 2
    return (probability_BChw * square_BChw).sum(dim=1, keepdim=True).sqrt()
