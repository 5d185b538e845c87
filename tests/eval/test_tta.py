from pathlib import Path

import numpy as np
import pytest

from nearfar.errors import ConfigError
from nearfar.eval.tta import blend_windows, flip_average, split_windows

DAR = dict(np.load(Path(__file__).parents[1] / "golden" / "eval" / "dar_metrics.npz"))


def test_blend_is_dars():
    out = blend_windows(DAR["blend.left"], DAR["blend.right"])
    np.testing.assert_allclose(out, DAR["blend.out"], rtol=1e-5)


@pytest.mark.parametrize(("window", "width"), [(640, 1216), (8, 16), (8, 8)])
def test_windows_of_one_map_blend_back_to_it(window, width):
    whole = np.random.default_rng(0).random((3, width))
    windows = split_windows(whole, window=window)
    assert windows.left.shape == windows.right.shape == (3, window)
    np.testing.assert_allclose(blend_windows(*windows, width=width), whole)


def test_windows_that_leave_a_gap_are_refused():
    with pytest.raises(ConfigError):
        split_windows(np.zeros((3, 1300)))
    with pytest.raises(ConfigError):
        blend_windows(np.zeros((3, 8)), np.zeros((3, 8)), width=20)


def test_flip_average_mirrors_the_second_map():
    first, second = np.array([[1.0, 2, 3]]), np.array([[5.0, 4, 3]])
    assert flip_average(first, second).tolist() == [[2, 3, 4]]
    assert np.array_equal(flip_average(first, first[:, ::-1]), first)
    with pytest.raises(ConfigError):
        flip_average(first, second[:, :2])
