"""Bins injection (arXiv 2411.11361; spec dar.md section 4): candidates into the decoded tokens.

z = sigmoid(Wz [h, x]), r = sigmoid(Wr [h, x]), q = tanh(Wq [r h, x]), h <- (1 - z) h + z q, first
with 1x5 then with 5x1 convolutions of their own. h is the step's own decoded map (nothing is
carried over steps), x the projected bin centers beside the photo's context.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


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
