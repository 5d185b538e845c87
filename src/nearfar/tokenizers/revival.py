"""Use of the codebook: how many codes live, and new places for those that nobody takes.

`MultiScaleQuantizer.hits_V` counts choices since the last sweep. At a sweep a code that was chosen
less than `dead_below` times the mean is put on a random residual of the batch, then counting starts
again. Everything follows from the counts and the generator, so a resumed run repeats it.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, distributed

from .quantizer import MultiScaleQuantizer, TrainingPass

HITS_PER_SWEEP = 64  # mean choices per code between two sweeps
DEAD_BELOW = 0.02  # share of the mean


class CodebookUse(NamedTuple):
    """Of the choices counted: share 0..1 of codes chosen at all, and exp(entropy) of the choices.

    perplexity is the number of codes that would carry as much if all were used alike; 0 of nothing.
    """

    used: float
    perplexity: float
    choices: int


def codebook_use(hits_V: Tensor) -> CodebookUse:
    """The report of a count of choices per code."""
    choices = int(hits_V.sum())
    if choices == 0:
        return CodebookUse(0.0, 0.0, 0)
    share_V = hits_V.double() / choices
    entropy = -torch.special.xlogy(share_V, share_V).sum()
    return CodebookUse(float((hits_V > 0).double().mean()), float(entropy.exp()), choices)


def count_hits(indices_P: Tensor, *, codebook: int) -> Tensor:
    """Choices per code [V] of tokens of any shape, summed over the processes of a training."""
    hits_V = torch.bincount(indices_P.flatten(), minlength=codebook)
    if distributed.is_available() and distributed.is_initialized():
        distributed.all_reduce(hits_V)
    return hits_V


@torch.no_grad()
def count_and_revive(
    quantizer: MultiScaleQuantizer,
    taken: TrainingPass,
    *,
    generator: torch.Generator,
    hits_per_sweep: float = HITS_PER_SWEEP,
    dead_below: float = DEAD_BELOW,
) -> int:
    """Count a training pass; when it is time, sweep. Returns how many codes were moved.

    hits_per_sweep 0 never sweeps. All processes end with the codes of the first. A batch that is
    not finite moves nothing: the trainer skips it.
    """
    hits_V, size = quantizer.hits_V, quantizer.config.codebook
    hits_V += count_hits(taken.indices_P, codebook=size)
    total = int(hits_V.sum())
    if not 0 < hits_per_sweep * size <= total:
        return 0
    dead = torch.nonzero(hits_V < dead_below * total / size)[:, 0]
    weight_VC = quantizer.embedding.weight
    residuals_PC = taken.residuals_PC[torch.isfinite(taken.residuals_PC).all(dim=1)]
    if len(dead):
        draw_P = torch.rand(len(dead), generator=generator, device=generator.device)
        if len(residuals_PC):
            chosen_P = (draw_P.to(residuals_PC.device) * len(residuals_PC)).long()
            weight_VC[dead] = residuals_PC[chosen_P].to(weight_VC.dtype)
        if distributed.is_available() and distributed.is_initialized():
            distributed.broadcast(weight_VC, src=0)
    hits_V.zero_()
    return len(dead)
