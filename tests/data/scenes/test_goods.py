import numpy as np
import pytest

from nearfar.data.scenes import goods
from nearfar.data.scenes.placing import Spots, frame


@pytest.mark.parametrize("row", goods.GOODS, ids=lambda row: row[0].__name__)
def test_goods_rest_on_the_surface_within_their_radius(builder, extents, row):
    good, radius, *_ = row
    high = good(builder, frame(1.0, 2.0, 0.6, y=0.7))
    low, top = extents(builder)
    assert 0.58 < low[:, 1].min() < 0.72  # bounds of turned ellipsoids are generous
    assert top[:, 1].max() < 0.7 + max(1.6 * high, 0.4)
    reach = np.abs(np.concatenate([low, top])[:, [0, 2]] - [1, 2]).max()
    assert reach < 2.2 * radius


def test_goods_on_a_table_stay_on_it(builder, extents):
    goods.put_goods(builder, frame(0, 0, 0.0, y=0.5), (0.5, 0.3), 8, spots=Spots(), desk=False)
    low, high = extents(builder)
    middle = (low + high) / 2
    assert len(low) > 5
    assert np.abs(middle[:, 0]).max() < 0.75 and np.abs(middle[:, 2]).max() < 0.55


def test_cables_lie_on_the_floor_in_one_piece(builder, extents):
    goods.cable(builder, frame(0, 0, 0.0), thick=0.006)
    low, high = extents(builder)
    assert low[:, 1].min() > -1e-6 and high[:, 1].max() < 0.02
    near = np.maximum(low[1:], low[:-1]) <= np.minimum(high[1:], high[:-1]) + 1e-6
    assert near.all()  # each piece touches the next
