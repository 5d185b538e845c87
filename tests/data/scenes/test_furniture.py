import numpy as np
import pytest

from nearfar.data.scenes import furniture as things
from nearfar.data.scenes.placing import frame

STANDING = [
    things.chair,
    things.sofa,
    things.bed,
    things.shelf,
    things.cabinet,
    things.floor_lamp,
    things.plant,
    things.person,
    things.stool,
    things.screen,
    things.laptop,
    things.soft_heap,
    things.loose_block,
]


@pytest.mark.parametrize("thing", STANDING, ids=lambda f: f.__name__)
def test_things_stand_on_the_floor_near_their_frame(builder, extents, thing):
    thing(builder, frame(3.0, -2.0, 0.4))
    low, high = extents(builder)
    assert len(low) >= 1
    assert -0.3 < low[:, 1].min() < 0.2
    assert high[:, 1].max() < 2.6
    assert np.abs((low + high)[:, 0] / 2 - 3).max() < 1.6
    assert np.abs((low + high)[:, 2] / 2 + 2).max() < 1.6


def test_small_things_fit_a_hand_and_rest_on_the_surface(builder, extents):
    for _ in range(12):
        things.small_thing(builder, frame(0, 0, 0.3, y=0.7))
    low, high = extents(builder)
    assert low[:, 1].min() > 0.68 and high[:, 1].max() < 1.2
    assert (high - low).max() < 0.5


def test_table_top_is_at_its_height(builder, extents):
    things.table(builder, frame(0, 0, 0.0), half_x=0.6, half_z=0.4, height=0.74)
    low, high = extents(builder)
    assert high[:, 1].max() == pytest.approx(0.74, abs=1e-6)
    assert low[:, 1].min() == pytest.approx(0, abs=0.05)


def test_kitchen_row_stays_within_its_length(builder, extents):
    things.kitchen(builder, frame(0, 0, 0.0), 1.2)
    low, high = extents(builder)
    assert low[:, 0].min() > -1.5 and high[:, 0].max() < 2.2
    assert low[:, 2].min() > -0.1  # nothing behind the wall


def test_clutter_stays_on_its_surface(builder, extents):
    things.clutter(builder, frame(0, 0, 0.0, y=0.5), 0.4, 0.2, 10)
    low, high = extents(builder)
    middle = (low + high) / 2
    assert np.abs(middle[:, 0]).max() < 0.6 and np.abs(middle[:, 2]).max() < 0.4


def test_hanging_lamp_is_below_the_ceiling(builder, extents):
    things.hanging_lamp(builder, 0.0, 0.0, 2.5)
    _, high = extents(builder)
    assert high[:, 1].max() <= 2.5 + 1e-6
