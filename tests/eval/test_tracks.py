import numpy as np
import pytest

from nearfar.eval.tracks import track_back

SIZE = (24, 32)
CAMERA = np.array([[30.0, 0, 16], [0, 30, 12], [0, 0, 1]])


def moved(x=0.0, z=0.0, turn_deg=0.0):
    """The pose of the camera now, in the frame of the camera before: back = before from now."""
    angle = np.radians(turn_deg)
    pose = np.eye(4)
    pose[:3, :3] = [
        [np.cos(angle), 0, np.sin(angle)],
        [0, 1, 0],
        [-np.sin(angle), 0, np.cos(angle)],
    ]
    pose[:3, 3] = x, 0, z
    return pose


def wall(depth=3.0):
    return np.full(SIZE, depth)


def test_a_camera_at_rest_leaves_every_pixel_where_it_is():
    track = track_back(wall(), wall(), CAMERA, np.eye(4))
    assert np.abs(track.flow_2HW).max() < 1e-9
    assert np.array_equal(track.row_HW[:, 0], np.arange(24))
    assert np.array_equal(track.column_HW[0], np.arange(32))
    assert track.same_HW.all()


def test_a_camera_that_moved_right_saw_the_wall_further_right():
    """0.2 m at 3 m and 30 px of focal length: 2 px; what was beyond the right border is new."""
    track = track_back(wall(), wall(), CAMERA, moved(x=0.2))
    np.testing.assert_allclose(track.flow_2HW[0], 2.0)
    np.testing.assert_allclose(track.flow_2HW[1], 0.0, atol=1e-9)
    assert track.same_HW[:, :30].all() and not track.same_HW[:, 30:].any()
    assert np.array_equal(track.column_HW[3, :30], np.arange(2, 32))


def test_a_camera_that_came_nearer_saw_the_wall_smaller():
    track = track_back(wall(2.0), wall(3.0), CAMERA, moved(z=1.0))
    assert track.same_HW.all()  # it was 3 m away then
    assert track.flow_2HW[0, 0, 0] > 0 > track.flow_2HW[0, 0, -1]
    np.testing.assert_allclose(track.flow_2HW[0, 5, 31], (31.5 - 16) * (2 / 3 - 1))


def test_things_that_moved_and_what_they_hid_are_not_the_same():
    before, now = wall(), wall()
    before[8:16, 4:10] = 1.5
    now[8:16, 12:18] = 1.5
    track = track_back(now, before, CAMERA, np.eye(4))
    changed = np.zeros(SIZE, bool)
    changed[8:16, 4:10] = changed[8:16, 12:18] = True
    assert np.array_equal(track.same_HW, ~changed)


def test_unknown_depth_follows_the_rotation_and_is_not_the_same():
    sky = wall()
    sky[:6] = 0
    track = track_back(sky, sky, CAMERA, moved(x=0.5, turn_deg=2.0))
    assert not track.same_HW[:6].any()
    middle = track.flow_2HW[0, 5, 15:17].mean()
    assert middle == pytest.approx(30 * np.tan(np.radians(2.0)), rel=0.01)


def test_points_behind_the_earlier_camera_are_not_the_same():
    track = track_back(wall(1.0), wall(1.0), CAMERA, moved(z=-2.0))
    assert not track.same_HW.any()
    assert np.isfinite(track.flow_2HW).all()
