"""Several rankings of the same things fused into one."""

from __future__ import annotations

from collections.abc import Sequence


def reciprocal_rank_fusion(rankings: Sequence[Sequence[int]], *, k: int = 60) -> dict[int, float]:
    """Every thing with the sum of 1 / (k + position + 1) over all rankings, the best first.

    rankings: things from best to worst; position counts from 0. Equal sums keep the order in which
    the rankings name them.
    """
    scores: dict[int, float] = {}
    for ranking in rankings:
        for position, thing in enumerate(ranking):
            scores[thing] = scores.get(thing, 0.0) + 1 / (k + position + 1)
    return dict(sorted(scores.items(), key=lambda pair: -pair[1]))
