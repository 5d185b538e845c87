"""Bin rules of the public code beside the paper's, for parity (spec dar.md section 5).

Released code: after a step the range is edge(max(t-2, 0)) to edge(min(t+3, N-1)), but the centers
stay those of the first step, and a depth outside the range counts as bin 0. So the tree has no
effect on the prediction. Elastic, from an older file (the rule of IEBins): the range is as wide as
bin t plus the spread, from edge(t) - spread / 2; edges are clamped to [near, far].
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from .tree_bins import Expectation, TreeBins


class ReleasedBins(NamedTuple):
    """first: the bins of step one, whose centers serve all steps; narrow: the refined ones."""

    first: TreeBins
    narrow: TreeBins

    def centers(self) -> Tensor:
        """Centers [B,N,h,w] of the first step."""
        return self.first.centers()

    def label(self, depth_B1hw: Tensor) -> Tensor:
        """Index [B,1,h,w] of the refined bin that holds the depth; 0 if none does."""
        return _found_label(self.narrow.edges(), depth_B1hw)

    def resized(self, size_hw: tuple[int, int]) -> ReleasedBins:
        """The same bins on another grid, by nearest pixel."""
        return ReleasedBins(self.first.resized(size_hw), self.narrow.resized(size_hw))

    def after(self, found: Expectation) -> ReleasedBins:
        """Refined range, two bins to the left and three to the right edge; unchanged centers."""
        edges_BChw, count = self.narrow.edges(), self.narrow.total
        label_B1hw = self.label(found.depth_B1hw)
        left_B1hw = edges_BChw.gather(1, (label_B1hw - 2).clamp_min(0))
        right_B1hw = edges_BChw.gather(1, (label_B1hw + 3).clamp_max(count - 1))
        narrow = TreeBins(left_B1hw, (right_B1hw - left_B1hw) / count, count)
        return ReleasedBins(self.first, narrow)


class ElasticBins(NamedTuple):
    """edges_BChw: the N + 1 edges, in metres; clamping to near..far may make them uneven."""

    edges_BChw: Tensor
    near: float
    far: float

    def centers(self) -> Tensor:
        """Centers [B,N,h,w] between the edges."""
        return (self.edges_BChw[:, :-1] + self.edges_BChw[:, 1:]) / 2

    def label(self, depth_B1hw: Tensor) -> Tensor:
        """Index [B,1,h,w] of the bin that holds the depth; 0 if none does."""
        return _found_label(self.edges_BChw, depth_B1hw)

    def resized(self, size_hw: tuple[int, int]) -> ElasticBins:
        """The same bins on another grid, by nearest pixel."""
        if tuple(self.edges_BChw.shape[-2:]) == size_hw:
            return self
        edges_BChw = F.interpolate(self.edges_BChw, size=size_hw, mode="nearest")
        return ElasticBins(edges_BChw, self.near, self.far)

    def after(self, found: Expectation) -> ElasticBins:
        """A range as wide as the bin and the spread."""
        label_B1hw, count = self.label(found.depth_B1hw), self.edges_BChw.shape[1] - 1
        lower_B1hw = self.edges_BChw.gather(1, label_B1hw)
        upper_B1hw = self.edges_BChw.gather(1, label_B1hw + 1)
        left_B1hw = (lower_B1hw - found.spread_B1hw / 2).clamp_min(self.near)
        step_B1hw = (upper_B1hw - lower_B1hw + found.spread_B1hw) / count
        edges_BChw = TreeBins(left_B1hw, step_B1hw, count).edges()
        return ElasticBins(edges_BChw.clamp(self.near, self.far), self.near, self.far)


def _found_label(edges_BChw: Tensor, depth_B1hw: Tensor) -> Tensor:
    """Index [B,1,h,w] of the bin with lower edge <= depth < upper edge; 0 if there is none."""
    depth_B1hw = depth_B1hw.detach()
    inside_BChw = (edges_BChw[:, :-1] <= depth_B1hw) & (depth_B1hw < edges_BChw[:, 1:])
    return inside_BChw.to(torch.uint8).argmax(dim=1, keepdim=True)
