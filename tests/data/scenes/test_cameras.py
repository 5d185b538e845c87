import math

import numpy as np
import pytest

from nearfar.data.scenes.cameras import (
    Camera,
    camera_path,
    draw_fov_deg,
    look,
    look_at,
    make_camera,
)


@pytest.mark.parametrize(("yaw", "pitch", "roll"), [(0, 0, 0), (1.2, -0.5, 0.1), (-2, 0.3, -0.2)])
def test_look_is_a_right_handed_opencv_frame(yaw, pitch, roll):
    r = look(yaw, pitch, roll)
    np.testing.assert_allclose(r.T @ r, np.eye(3), atol=1e-12)
    assert np.linalg.det(r) == pytest.approx(1)
    assert r[1, 2] == pytest.approx(math.sin(pitch))
    assert r[1, 1] < 0  # down points down


def test_pitch_up_looks_up_and_roll_keeps_the_view_axis():
    assert look(0.3, 0.5, 0)[1, 2] > 0
    np.testing.assert_allclose(look(0.3, 0.5, 0.4)[:, 2], look(0.3, 0.5, 0)[:, 2])


def test_look_at_points_at_the_target():
    place, target = np.array([1.0, 2, 3]), np.array([-2.0, 0.5, 7])
    forward = look_at(place, target, 0.1)[:, 2]
    np.testing.assert_allclose(forward, (target - place) / np.linalg.norm(target - place))


def test_fields_of_view_are_those_of_cameras():
    rng = np.random.default_rng(0)
    fov = [draw_fov_deg(rng) for _ in range(500)]
    assert min(fov) >= 40 and max(fov) <= 100 and 58 < np.median(fov) < 72
    camera = make_camera(rng, np.zeros(3), yaw=0.0, pitch=0.0)
    assert math.tan(math.radians(20)) <= camera.tan_half_x <= math.tan(math.radians(50))


def test_paths_start_at_the_camera_and_move_smoothly():
    start = Camera(np.array([1.0, 1.5, 0]), look(0.4, -0.2, 0.05), 0.7)
    path = camera_path(start, frames=40, generator=np.random.default_rng(2), speed=0.03)
    np.testing.assert_allclose(path[0].position, start.position)
    np.testing.assert_allclose(path[0].rotation, start.rotation, atol=1e-9)
    places = np.array([c.position for c in path])
    steps = np.diff(places, axis=0)
    assert np.linalg.norm(steps, axis=1).max() < 0.08
    assert np.abs(np.diff(steps, axis=0)).max() < 0.01
    forward = np.array([c.rotation[:, 2] for c in path])
    turns = np.arccos(np.clip((forward[1:] * forward[:-1]).sum(1), -1, 1))
    assert 0 < turns.max() < math.radians(1.5)
