import numpy as np
import pytest

from nearfar.data.scenes import prints
from nearfar.data.scenes.patterns import SIZE


@pytest.mark.parametrize(
    "name",
    ["poster", "package", "carton", "cardboard", "label", "keys", "display", "spines", "lines"],
)
def test_prints_have_contrast_and_follow_their_generator(name):
    draw = getattr(prints, name)
    one, again = draw(np.random.default_rng(3)), draw(np.random.default_rng(3))
    assert one.shape == (SIZE, SIZE, 3) and np.array_equal(one, again)
    assert np.isfinite(one).all() and one.std() / one.mean() > 0.05


def test_letters_stay_in_their_box():
    out = np.ones((SIZE, SIZE, 3))
    prints.letters(out, np.random.default_rng(0), (0.25, 0.5, 0.5, 0.125))
    rows, cols = np.nonzero((out != 1).any(-1))
    assert rows.min() >= SIZE // 2 and rows.max() < SIZE * 5 // 8
    assert cols.min() >= SIZE // 4 and cols.max() < SIZE * 3 // 4
    assert 0.2 < len(rows) / (SIZE / 8 * SIZE / 2) < 0.9


def test_inks_are_reflectances():
    inks = np.array([prints.ink(np.random.default_rng(i)) for i in range(50)])
    assert inks.min() > 0 and inks.max() < 1 and inks.std(0).min() > 0.1
