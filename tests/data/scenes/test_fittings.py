import numpy as np
import pytest

from nearfar.data.scenes import fittings
from nearfar.data.scenes.placing import frame

STANDING = [
    fittings.parcel,
    fittings.drawers,
    fittings.folding_chair,
    fittings.swivel_chair,
    fittings.radiator,
    fittings.leafy_plant,
    fittings.slippers,
    fittings.lying_on,
]


@pytest.mark.parametrize("thing", STANDING, ids=lambda f: f.__name__)
def test_things_stand_on_the_floor_near_their_frame(builder, extents, thing):
    for i in range(3):
        thing(builder, frame(3.0 * i, -2.0, 0.4))
    low, high = extents(builder)
    assert -0.1 < low[:, 1].min() < 0.1
    assert high[:, 1].max() < 1.5
    assert np.abs((low + high)[:, 2] / 2 + 2).max() < 1.6


def test_drawers_have_handles_in_front(builder, extents):
    high = fittings.drawers(builder, frame(0, 0, 0.0))
    low, top = extents(builder)
    assert top[0, 1] == pytest.approx(high)
    assert len(low) >= 5 and top[:, 2].max() > top[0, 2] + 0.02


def test_a_curtain_hangs_where_it_is_told(builder, extents):
    fittings.curtain(builder, frame(0, 0, 0.0), 0.4, 0.1, 2.2)
    low, high = extents(builder)
    assert low[:, 1].min() == pytest.approx(0.1) and high[:, 1].max() == pytest.approx(2.2)
    assert low[:, 0].min() > -0.6 and high[:, 0].max() < 0.6
