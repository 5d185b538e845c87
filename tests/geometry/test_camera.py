import math

import numpy as np
import pytest

from nearfar.errors import ConfigError
from nearfar.geometry.camera import (
    focal_from_exif_35mm,
    fov_from_exif_35mm,
    fov_from_focal,
    fov_from_intrinsics,
    intrinsics_from_fov,
)


@pytest.mark.parametrize("fov", [1.0, 45.0, 60.0, 90.0, 150.0])
def test_fov_and_intrinsics_are_inverse(fov):
    intrinsics_33 = intrinsics_from_fov(fov, (48, 64))
    assert intrinsics_33[0, 2] == 32 and intrinsics_33[1, 2] == 24
    assert intrinsics_33[0, 0] == intrinsics_33[1, 1]
    assert fov_from_intrinsics(intrinsics_33, (48, 64)) == pytest.approx(fov)


def test_right_angle_has_half_the_width_as_focal():
    assert intrinsics_from_fov(90.0, (10, 64))[0, 0] == pytest.approx(32)


def test_off_center_camera():
    intrinsics_33 = np.array([[50.0, 0, 50], [0, 50, 20], [0, 0, 1]])
    expected = 45 + math.degrees(math.atan(14 / 50))
    assert fov_from_intrinsics(intrinsics_33, (48, 64)) == pytest.approx(expected)


def test_exif_focal_uses_the_diagonal():
    # a 3:2 photo has the film's own shape: 36 mm of width for W pixels
    assert focal_from_exif_35mm(36.0, (200, 300)) == pytest.approx(300)
    assert focal_from_exif_35mm(36.0, (300, 200)) == pytest.approx(300)
    assert fov_from_exif_35mm(18.0, (200, 300)) == pytest.approx(90)
    assert fov_from_focal(32.0, (48, 64)) == pytest.approx(90)


@pytest.mark.parametrize("fov", [0.0, 180.0, -5.0, float("nan")])
def test_impossible_fov(fov):
    with pytest.raises(ConfigError, match="fov_x_deg"):
        intrinsics_from_fov(fov, (4, 4))


def test_impossible_focal():
    with pytest.raises(ConfigError, match="focal_px"):
        fov_from_focal(0.0, (4, 4))
