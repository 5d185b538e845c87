"""Bins injection (arXiv 2411.11361; docs/dar.md section 4): candidates into the decoded tokens.

z = sigmoid(Wz [h, x]), r = sigmoid(Wr [h, x]), q = tanh(Wq [r h, x]), h <- (1 - z) h + z q, first
with 1x5 then with 5x1 convolutions of their own. h is the step's own decoded map (nothing is
carried over steps), x the projected bin centers beside the photo's context.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional as F

# Multi-way tree bins (arXiv 2411.11361, "MTBin"; docs/dar.md section 5).
#
# N uniform bins per pixel over [near, far]. A step gives probabilities p_i of the bins; with their
# centers c_i, depth D = sum p_i c_i and spread = sqrt(sum p_i (c_i - D)^2). With t the bin that
# holds D, the next step's bins divide [edge(max(t-1, 0)), edge(min(t+2, N))] into N again: a bin
# and its neighbors. No gradient passes edges, centers or t. Released code: see the rules below.
#
# Uniform bins need two numbers per pixel: the first edge and the width of a bin.


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


# Bin rules of the public code beside the paper's, for parity (docs/dar.md section 5).
#
# Released code: after a step the range is edge(max(t-2, 0)) to edge(min(t+3, N-1)), but the centers
# stay those of the first step, and a depth outside the range counts as bin 0. So the tree has no
# effect on the prediction. Elastic, from an older file (the rule of IEBins): the range is as wide
# as bin t plus the spread, from edge(t) - spread / 2; edges are clamped to [near, far].


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


class BinProjection(nn.Module):
    """Three convolutions on the bin centers, in metres, without gradient to them."""

    def __init__(self, bins: int, width: int, *, kernel: int = 7) -> None:
        super().__init__()
        self.convd1 = nn.Conv2d(bins, width, kernel, padding=kernel // 2)
        self.convd2 = nn.Conv2d(width, width, 3, padding=1)
        self.convd3 = nn.Conv2d(width, width, 3, padding=1)

    def forward(self, centers_BChw: Tensor) -> Tensor:
        """Features of the candidates [B,C,h,w]."""
        x_BChw = F.relu(self.convd1(centers_BChw.detach()))
        return F.relu(self.convd3(F.relu(self.convd2(x_BChw))))


class ConvGRU(nn.Module):
    """A separable convolutional gated unit."""

    def __init__(self, hidden: int, inputs: int) -> None:
        super().__init__()
        both = hidden + inputs
        self.convz1 = nn.Conv2d(both, hidden, (1, 5), padding=(0, 2))
        self.convr1 = nn.Conv2d(both, hidden, (1, 5), padding=(0, 2))
        self.convq1 = nn.Conv2d(both, hidden, (1, 5), padding=(0, 2))
        self.convz2 = nn.Conv2d(both, hidden, (5, 1), padding=(2, 0))
        self.convr2 = nn.Conv2d(both, hidden, (5, 1), padding=(2, 0))
        self.convq2 = nn.Conv2d(both, hidden, (5, 1), padding=(2, 0))

    def forward(self, hidden_BChw: Tensor, x_BChw: Tensor) -> Tensor:
        """The updated map [B,C,h,w]."""
        across = (self.convz1, self.convr1, self.convq1)
        down = (self.convz2, self.convr2, self.convq2)
        for convz, convr, convq in (across, down):
            gates_BChw = _together(convz, convr, torch.cat([hidden_BChw, x_BChw], dim=1))
            z_BChw, r_BChw = torch.sigmoid(gates_BChw).chunk(2, dim=1)
            new_BChw = torch.tanh(convq(torch.cat([r_BChw * hidden_BChw, x_BChw], dim=1)))
            hidden_BChw = (1 - z_BChw) * hidden_BChw + z_BChw * new_BChw
        return hidden_BChw


def _together(first: nn.Conv2d, second: nn.Conv2d, x_BChw: Tensor) -> Tensor:
    """Both convolutions of one map by a single call, channels one after the other."""
    weight = torch.cat([first.weight, second.weight])
    assert first.bias is not None and second.bias is not None
    bias = torch.cat([first.bias, second.bias])
    assert not isinstance(first.padding, str)
    return F.conv2d(x_BChw, weight, bias, padding=first.padding)


class ProbabilityHead(nn.Module):
    """Probabilities of the bins, [B,N,h,w] float32."""

    def __init__(self, hidden: int, bins: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(hidden, hidden, 3, padding=1)
        self.conv2 = nn.Conv2d(hidden, bins, 3, padding=1)

    def forward(self, hidden_BChw: Tensor, start_BChw: Tensor | None = None) -> Tensor:
        """Softmax over the bins; start_BChw: logits that those of the map are added to."""
        logits_BChw = self.conv2(F.relu(self.conv1(hidden_BChw)))
        # float32 island: bins are narrowed by these numbers, down to millimetres
        logits_BChw = logits_BChw.float()
        return (logits_BChw if start_BChw is None else logits_BChw + start_BChw).softmax(dim=1)


class TokenDecoder(nn.Module):
    """A token map made eight times finer: three transposed convolutions and a 3x3 one."""

    def __init__(self, token_width: int, width: int, hidden: int, *, groups: int | None) -> None:
        """groups: of GroupNorm; None takes BatchNorm, whose statistics all steps share."""
        super().__init__()

        def norm(channels: int) -> nn.Module:
            return nn.BatchNorm2d(channels) if groups is None else nn.GroupNorm(groups, channels)

        parts: list[nn.Module] = []
        for inputs in (token_width, width, width):
            up = nn.ConvTranspose2d(inputs, width, 2, stride=2, bias=False)
            parts += [up, norm(width), nn.ReLU()]
        self.deconv_layers = nn.Sequential(*parts)
        self.conv_layers = nn.Sequential(
            nn.Conv2d(width, hidden, 3, padding=1), norm(hidden), nn.ReLU()
        )

    def forward(self, tokens_BChw: Tensor) -> Tensor:
        """Decoded map [B,C,8h,8w]."""
        return self.conv_layers(self.deconv_layers(tokens_BChw))
