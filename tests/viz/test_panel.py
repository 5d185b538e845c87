import numpy as np
import pytest

from nearfar.errors import ConfigError
from nearfar.viz.panel import contact_sheet, side_by_side


def test_side_by_side_keeps_the_pixels():
    rng = np.random.default_rng(0)
    a, b = rng.integers(0, 255, (2, 4, 6, 3), dtype=np.uint8)
    panel = side_by_side(a, b, gap=3)
    assert panel.shape == (4, 15, 3)
    assert np.array_equal(panel[:, :6], a) and np.array_equal(panel[:, 9:], b)
    assert (panel[:, 6:9] == 255).all()


def test_sheet_of_mixed_sizes_and_grey():
    tiles = [np.full((2, 3, 3), 10, np.uint8), np.full((4, 2), 20, np.uint8)]
    tiles.append(np.full((1, 5, 3), 30, np.uint8))
    sheet = contact_sheet(tiles, columns=2, gap=1)
    assert sheet.shape == (4 + 1 + 1, 5 + 1 + 2, 3)
    assert (sheet[:2, :3] == 10).all() and (sheet[:4, 6:] == 20).all()
    assert (sheet[5, :5] == 30).all() and (sheet[5, 5:] == 255).all()
    assert contact_sheet(tiles, columns=9).shape[1] == 3 + 2 + 5 + 16


@pytest.mark.parametrize(
    ("tiles", "columns"),
    [([], 2), ([np.zeros((2, 2, 3), np.uint8)], 0), ([np.zeros((2, 2, 3))], 1)],
)
def test_impossible_sheets(tiles, columns):
    with pytest.raises(ConfigError):
        contact_sheet(tiles, columns=columns)
