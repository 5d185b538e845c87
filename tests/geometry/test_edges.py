import numpy as np
import pytest

from nearfar.errors import ConfigError
from nearfar.geometry.edges import depth_edges


def test_both_sides_of_a_step_and_nothing_else():
    depth = np.full((6, 8), 2.0, np.float32)
    depth[:, 4:] = 3.0
    expected = np.zeros((6, 8), bool)
    expected[:, 3:5] = True
    assert np.array_equal(depth_edges(depth), expected)
    assert np.array_equal(depth_edges(depth.T.copy()), expected.T)


def test_diagonal_neighbors_count():
    depth = np.ones((3, 3), np.float32)
    depth[0, 2] = 2.0
    mask = depth_edges(depth)
    assert mask[0, 2] and mask[1, 1] and mask[0, 1] and mask[1, 2]
    assert not mask[2, 0] and not mask[0, 0]


@pytest.mark.parametrize(("jump", "found"), [(1.039, False), (1.041, True)])
def test_threshold_is_relative(jump, found):
    for scale in (0.01, 1.0, 5000.0):
        depth = np.array([[scale, scale * jump]], np.float32)
        assert depth_edges(depth, relative=0.04).all() == found


def test_invalid_neighbors_are_no_jump():
    depth = np.array([[1, np.nan, 1], [np.inf, 1, 0], [1, -1, 1]], np.float32)
    assert not depth_edges(depth).any()
    assert depth_edges(np.full((1, 1), 3, np.float32)).shape == (1, 1)


def test_relative_must_be_positive():
    with pytest.raises(ConfigError):
        depth_edges(np.ones((2, 2), np.float32), relative=0.0)
