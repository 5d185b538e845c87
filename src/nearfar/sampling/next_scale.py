"""The next-scale loop (VAR, arXiv 2404.02905, algorithm 2): a map as a sum over finer token maps.

Shapes: S samples, C code width, H W the finest scale, h w a scale.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from torch import Tensor


class ScaleSums(Protocol):
    """What a multi-scale quantizer knows: how scales add up."""

    def inputs_of_next_scale(self, f_hat_SCHW: Tensor, /, *, scale: int) -> Tensor:
        """The sum up to a scale at the size of the next [S,C,h,w]."""
        ...

    def accumulate(self, f_hat_SCHW: Tensor, codes_SChw: Tensor, /, *, scale: int) -> Tensor:
        """The sum with the code vectors of a scale added."""
        ...


def sample_scales(
    quantizer: ScaleSums,
    f_hat_SCHW: Tensor,
    *,
    count: int,
    codes_at: Callable[[Tensor | None, int], Tensor],
) -> Tensor:
    """f_hat [S,C,H,W] after `count` scales, from what it is at the start (zeros).

    codes_at: the network and the way to choose: code vectors [S,C,h,w] of a scale from the inputs
    of that scale, None at the first.
    """
    for scale in range(count):
        # 1. what the network is shown: the sum so far at this scale's size [S,C,h,w]
        inputs_SChw = None
        if scale > 0:
            inputs_SChw = quantizer.inputs_of_next_scale(f_hat_SCHW, scale=scale - 1)
        # 2. its answer, chosen: code vectors [S,C,h,w]
        codes_SChw = codes_at(inputs_SChw, scale)
        # 3. made as large as the finest scale, corrected, added [S,C,H,W]
        f_hat_SCHW = quantizer.accumulate(f_hat_SCHW, codes_SChw, scale=scale)
    return f_hat_SCHW
