import hashlib
from pathlib import Path

import numpy as np
import pytest

from nearfar.errors import ConfigError, DataError
from nearfar.geometry.canny import canny, dilate_ellipse5

GOLDEN = np.load(Path(__file__).parents[1] / "golden" / "eval" / "own_boundary.npz")


def step(size=9, at=4, height=200):
    picture = np.zeros((size, size), np.uint8)
    picture[:, at:] = height
    return picture


def test_edges_are_those_of_opencv():
    edges = canny(GOLDEN["cd.canny_in"], low=50, high=150)
    assert edges.dtype == bool
    np.testing.assert_array_equal(edges, GOLDEN["cd.edges"])


@pytest.mark.parametrize(
    ("kind", "digest"),
    [("noise", "bb170ed5018cf1c2"), ("soft", "a26fe1cab1552806"), ("steps", "886e3d644954aa9e")],
)
def test_edges_of_noise_are_those_of_opencv_5(kind, digest):
    noise = np.random.default_rng(0).integers(0, 256, (200, 300), dtype=np.uint8)
    wide = noise.astype(int)
    soft = (wide[:-1, :-1] + wide[1:, :-1] + wide[:-1, 1:] + wide[1:, 1:]) // 4
    picture = {"noise": noise, "soft": soft.astype(np.uint8), "steps": noise // 86 * 86}[kind]
    edges = np.packbits(canny(picture, low=50, high=150))
    assert hashlib.sha256(edges.tobytes()).hexdigest()[:16] == digest


def test_zone_is_the_dilated_edges():
    zone = dilate_ellipse5(GOLDEN["cd.edges"]) & GOLDEN["cd.valid"]
    np.testing.assert_array_equal(zone, GOLDEN["cd.mask"])


def test_a_step_is_one_pixel_wide_and_on_its_left_side():
    edges = canny(step(), low=50, high=150)
    assert edges[:, 3].all() and edges.sum() == 9  # ties go to the first of two equal magnitudes
    np.testing.assert_array_equal(canny(step().T, low=50, high=150), edges.T)


def test_thresholds_are_strict_and_floored():
    step_of_800 = step()  # |gx| = 4 * 200
    assert canny(step_of_800, low=50, high=799.9).any()
    assert not canny(step_of_800, low=50, high=800).any()
    assert canny(step_of_800, low=799.9, high=799.9).any()
    assert not canny(step_of_800, low=800, high=800).any()


def test_weak_edges_stay_only_where_a_chain_ties_them_to_a_strong_one():
    strong = np.zeros((40, 30), np.uint8)
    strong[:, 15:] = np.linspace(90, 30, 40)[:, None]
    edges = canny(strong, low=50, high=300)
    assert (
        edges[:, 14:16].any(axis=1).all()
    )  # from 360 down to 120: weak, but tied to the rows above
    weak = np.repeat(strong[30:31], 40, axis=0)
    assert not canny(weak, low=50, high=300).any()


def test_magnitude_outside_is_zero_so_that_border_rows_count():
    picture = np.zeros((4, 12), np.uint8)
    picture[:, 6:] = 255
    assert canny(picture, low=50, high=150)[[0, -1], 5].all()


@pytest.mark.parametrize("shape", [(0, 5), (1, 1), (1, 9), (7, 2)])
def test_tiny_pictures(shape):
    assert canny(np.zeros(shape, np.uint8), low=50, high=150).shape == shape


def test_ellipse_has_its_seventeen_pixels():
    dot = np.zeros((7, 7), bool)
    dot[3, 3] = True
    grown = dilate_ellipse5(dot)
    assert grown.sum(axis=1).tolist() == [0, 1, 5, 5, 5, 1, 0]
    corner = np.zeros((3, 3), bool)
    corner[0, 0] = True
    assert dilate_ellipse5(corner).sum() == 3 + 3 + 1


def test_unusable_input_is_refused():
    with pytest.raises(DataError, match="float64"):
        canny(np.zeros((3, 3)), low=50, high=150)
    with pytest.raises(ConfigError, match="low 9"):
        canny(np.zeros((3, 3), np.uint8), low=9, high=5)
