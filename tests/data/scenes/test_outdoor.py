import math

import numpy as np
import pytest

from nearfar.data.scenes import outdoor
from nearfar.data.scenes.placing import frame


@pytest.mark.parametrize("place", [outdoor.street, outdoor.field])
def test_the_ground_is_at_zero_and_the_camera_above(builder, extents, place):
    camera = place(builder)
    low, high = extents(builder)
    ground = np.argmax((high - low)[:, 0])
    assert high[ground, 1] == pytest.approx(0, abs=1e-5)
    assert camera.position[1] > 0.9
    assert len(low) > 5


def test_a_car_stands_on_its_wheels(builder, extents):
    outdoor.car(builder, frame(5.0, 5.0, 0.5))
    low, high = extents(builder)
    assert low[:, 1].min() == pytest.approx(0, abs=0.02)
    assert 1.1 < high[:, 1].max() < 3.2


def test_houses_have_their_size_and_trees_crowns_above_trunks(builder, extents):
    outdoor.house(builder, frame(0, 0, 0.0), half_x=3, half_z=5, height=12)
    low, high = extents(builder)
    assert 12 <= high[:, 1].max() < 12.5
    assert low[:, 1].min() > -1e-5
    outdoor.tree(builder, frame(20.0, 0, 0.0))
    low, high = extents(builder)
    assert high[-1, 1] > 1 or high[:, 1].max() > 1


def test_yaw_of_a_frame_and_daylight(builder):
    assert outdoor.yaw_of(frame(0, 0, 0.7)) == pytest.approx(0.7)
    outdoor.daylight(builder)
    assert (builder.horizon > 0).all() and 0 < builder.ambient < 1 and builder.fog > 0


def test_pitch_is_mostly_level():
    rng = np.random.default_rng(0)
    pitch = np.degrees([outdoor.outdoor_pitch(rng) for _ in range(300)])
    assert abs(np.median(pitch)) < 8 and pitch.min() < -15 and math.isfinite(pitch.max())
