import math

import numpy as np

from nearfar.data.scenes.placing import Spots, frame


def test_frames_carry_points_and_turns():
    f = frame(1.0, 2.0, math.pi / 2)
    np.testing.assert_allclose(f.at(0, 0, 1), [2, 0, 2], atol=1e-12)
    moved = f.moved(0, 1, 1, -math.pi / 2)
    np.testing.assert_allclose(moved.axes, np.eye(3), atol=1e-12)
    np.testing.assert_allclose(moved.origin, [2, 1, 2], atol=1e-12)


def test_taken_places_are_refused():
    spots = Spots()
    assert spots.take(frame(0, 0, 0.0), 0.5, 0.2)
    assert not spots.take(frame(0.6, 0, 0.0), 0.2, 0.1)
    assert spots.take(frame(0.8, 0, 0.0), 0.2, 0.1)
    assert not spots.take(frame(0, 0.3, math.pi / 2), 0.2, 0.1)  # turned: reaches further in z


def test_found_spots_lie_apart_until_the_table_is_full():
    rng, spots, found = np.random.default_rng(0), Spots(), []
    for _ in range(200):
        spot = spots.find(rng, frame(3, 1, 0.0, y=0.7), (0.5, 0.3), 0.1)
        if spot is not None:
            found.append(spot.origin)
    places = np.array(found)
    assert 5 < len(places) < 60 and (places[:, 1] == 0.7).all()
    gaps = np.abs(places[:, None] - places[None])[..., [0, 2]].max(-1) + 9 * np.eye(len(places))
    assert gaps.min() >= 0.2 - 1e-9
