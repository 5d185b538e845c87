"""The presets are what the card and the specification say."""

from dataclasses import fields

from nearfar.models.ppd.config import PPDConfig
from nearfar.models.ppd.presets import (
    LARGE,
    MICRO_PHOTO,
    PRESETS,
    TINY,
    TINY_PHOTO,
    VIDEO,
    VIDEO_PRESETS,
    VIDEO_TINY,
)


def test_presets():
    photo = {"tiny_photo": TINY_PHOTO, "micro_photo": MICRO_PHOTO}
    assert {"large": LARGE, "tiny": TINY, **photo} == PRESETS
    assert LARGE.prediction == TINY.prediction == "velocity" and LARGE.size_multiple == 16
    assert TINY_PHOTO.prediction == "clean" and TINY_PHOTO.size_multiple == 32
    assert (LARGE.width, LARGE.depth, LARGE.heads, LARGE.activation) == (1024, 24, 16, "gelu_tanh")
    assert TINY.activation == "silu"
    # noise of a coarse token has to fit into its width (with semantics beside it)
    assert TINY.width >= TINY.coarse_patch**2


def test_video_presets():
    assert VIDEO_PRESETS == {"video": VIDEO, "video_tiny": VIDEO_TINY}
    shared = [f.name for f in fields(PPDConfig)]
    # the weights of `tiny` are the starting point of `video_tiny`
    assert all(getattr(VIDEO_TINY, name) == getattr(TINY, name) for name in shared)
    differ = {name for name in shared if getattr(VIDEO, name) != getattr(LARGE, name)}
    assert differ == {"semantics_width"}
