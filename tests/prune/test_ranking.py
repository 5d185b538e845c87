"""Fused rankings equal the golden ones; what all rank well comes first."""

from pathlib import Path

import pytest
from safetensors.torch import load_file

from nearfar.prune.ranking import reciprocal_rank_fusion

GOLDEN = load_file(Path(__file__).parents[1] / "golden" / "prune" / "obs_structured.safetensors")


def test_scores_equal_golden():
    scores = reciprocal_rank_fusion(GOLDEN["rrf.rankings"].tolist())
    for thing, wanted in enumerate(GOLDEN["rrf.scores"].tolist()):
        assert scores[thing] == pytest.approx(wanted, rel=1e-9)
    assert list(scores.values()) == sorted(scores.values(), reverse=True)


def test_what_is_in_one_ranking_only_counts_once():
    scores = reciprocal_rank_fusion([[4, 7], [7]], k=0)
    assert scores == {7: pytest.approx(1.5), 4: pytest.approx(1.0)}
