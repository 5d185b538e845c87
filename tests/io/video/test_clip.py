from fractions import Fraction

import numpy as np
import pytest

from nearfar.errors import InputError
from nearfar.io.video.clip import ClipInfo, ReadReport, fit_frame

INFO = ClipInfo(
    source="a.mp4",
    size_hw=(48, 64),
    rate=Fraction(24),
    time_base=Fraction(1, 24),
    frames=None,
    has_audio=False,
    identity="",
)


def test_frames_of_the_same_size_are_passed_on():
    rgb, report = np.zeros((48, 64, 3), np.uint8), ReadReport()
    assert fit_frame(rgb, INFO, index=3, report=report) is rgb
    assert report.notes == []


def test_another_size_is_scaled_and_noted_once():
    report = ReadReport()
    for _ in range(2):
        half = fit_frame(np.full((24, 32, 3), 9, np.uint8), INFO, index=3, report=report)
    assert half.shape == (48, 64, 3)
    assert report.notes == ["frame 3 changes size, 32x24 after 64x48; scaled to the first"]


def test_another_shape_is_an_error():
    with pytest.raises(InputError, match="a.mp4: frame 3 has another shape"):
        fit_frame(np.zeros((64, 48, 3), np.uint8), INFO, index=3, report=ReadReport())
