"""The presets are what the card and the specification say."""

from sonde.models.ppd.presets import LARGE, PRESETS, TINY


def test_presets():
    assert PRESETS == {"large": LARGE, "tiny": TINY}
    assert (LARGE.width, LARGE.depth, LARGE.heads, LARGE.activation) == (1024, 24, 16, "gelu_tanh")
    assert TINY.activation == "silu"
    # noise of a coarse token has to fit into its width (with semantics beside it)
    assert TINY.width >= TINY.coarse_patch**2
