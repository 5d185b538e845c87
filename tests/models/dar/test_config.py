"""A configuration checks itself."""

from dataclasses import replace

import pytest

from nearfar.encoders.photo import PhotoEncoderConfig
from nearfar.errors import ConfigError
from nearfar.models.dar.config import DARConfig
from nearfar.models.dar.presets import RELEASED, SMALL, TINY


def test_defaults_are_sound_and_faults_are_found_at_once():
    assert DARConfig().vit is not None
    with pytest.raises(ConfigError, match=r"DARConfig\.near"):
        DARConfig(near=2.0, far=1.0)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"near": 10.0, "far": 1.0}, "range 10.0 to 1.0 m. Needs 0 < near < far"),
        ({"near": 0.0}, "range 0.0 to 10.0 m"),
        ({"far": float("inf")}, "range 0.001 to inf"),
        ({"layers": 4}, "4 is even"),
        ({"heads": 7}, "7 do not divide width 960"),
        ({"vit": None}, "one photo encoder"),
        ({"photo": PhotoEncoderConfig()}, "one photo encoder"),
        ({"bins": 2}, "2 cannot narrow"),
        ({"width": 0}, "0 is not a positive integer"),
        ({"fractions": (0.5, 0.25)}, "must rise to 1"),
        ({"fractions": ()}, "must rise to 1"),
        ({"last_grid": (1, 20)}, "below 2 x 2"),
        ({"multiple": 16}, "multiples of 28"),
        ({"bin_rule": "mine"}, "Use one of"),
        ({"memory_stride": 16}, "Use 14 or 8"),
        ({"hidden_width": 190}, "no multiple of 4"),
        ({"spacing": "log", "bin_rule": "elastic"}, "paper's rule only"),
        ({"token_width": 1538}, "no multiple of 4"),
        ({"has_prior": True}, "needs a small encoder's depth"),
    ],
)
def test_impossible_configs_are_named(changes, words):
    with pytest.raises(ConfigError, match=r"DARConfig\.") as caught:
        replace(SMALL, **changes)
    assert words in str(caught.value)


def test_tiny_refuses_what_its_context_cannot_norm():
    with pytest.raises(ConfigError, match="context_width"):
        replace(TINY, context_width=18)


def test_paper_and_release_differ_where_the_spec_says():
    assert SMALL.is_masked and SMALL.bin_rule == "paper" and SMALL.feedback == "gru"
    assert SMALL.has_embeddings and len(SMALL.fractions) == 5
    assert not RELEASED.is_masked and RELEASED.bin_rule == "released"
    assert RELEASED.feedback == "transformer" and not RELEASED.has_embeddings
    assert RELEASED.pixels == "symmetric" and len(RELEASED.fractions) == 4
