"""Which token to draw from logits: top-k, top-p, guidance (VAR, arXiv 2404.02905).

Shapes: logits [...,V]; a dropped token has -inf.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from nearfar.errors import ConfigError


def filter_top_k(logits: Tensor, k: int) -> Tensor:
    """Logits with everything strictly below the k-th largest dropped; equals of it stay.

    k at or above the number of tokens, or 0, drops nothing.
    """
    if k < 0:
        raise ConfigError("top_k", f"{k} is negative", "0 keeps every token")
    if k == 0 or k >= logits.shape[-1]:
        return logits
    kth = logits.topk(k, dim=-1).values[..., -1:]
    return logits.masked_fill(logits < kth, -math.inf)


def filter_top_p(logits: Tensor, p: float) -> Tensor:
    """Logits of the fewest best tokens with probability p together; the best one always stays.

    Sorted upwards, a token is dropped while the sum of probabilities up to and with it is at most
    1 - p. p = 0 or 1 drops nothing.
    """
    if not 0 <= p <= 1:
        raise ConfigError("top_p", f"{p} is not within 0..1")
    if p in (0, 1):
        return logits
    ascending, order = logits.sort(dim=-1, descending=False)
    drop = ascending.softmax(dim=-1).cumsum(dim=-1) <= 1 - p
    drop[..., -1] = False
    return logits.masked_fill(drop.scatter(-1, order, drop), -math.inf)


def draw(logits: Tensor, *, generator: torch.Generator, samples: int = 1) -> Tensor:
    """Tokens [...,samples] int64 drawn with replacement from softmax(logits).

    Drawn on the generator's device, so that a CPU generator gives the same wherever logits are.
    """
    shares_PV = logits.float().softmax(dim=-1).reshape(-1, logits.shape[-1])
    drawn_PS = torch.multinomial(
        shares_PV.to(generator.device), samples, replacement=True, generator=generator
    )
    return drawn_PS.to(logits.device).view(*logits.shape[:-1], samples)


def guided_logits(cond: Tensor, uncond: Tensor, scale: float) -> Tensor:
    """(1 + scale) cond - scale uncond: classifier-free guidance; 0 is the condition alone."""
    return cond if scale == 0 else torch.lerp(uncond, cond, 1 + scale)
