import numpy as np
from PIL import Image

from nearfar.cli.sheets import depth_tile, write_sheet


def test_tile_is_black_where_nothing_is_known_and_warm_near():
    depth = np.tile(np.linspace(1, 5, 8, dtype=np.float32), (6, 1))
    valid = np.ones((6, 8), bool)
    valid[0] = False
    photo = np.full((6, 8, 3), 9, np.uint8)
    tile = depth_tile(photo, depth, valid)
    assert tile.photo is photo and not tile.depth[0].any()
    near, far = tile.depth[3, 0].astype(int), tile.depth[3, 7].astype(int)
    assert near[0] > near[2] and far[2] > far[0]
    assert not depth_tile(photo, depth * 0, valid & False).depth.any()


def test_sheet_has_depth_below_each_photo(tmp_path):
    photo = np.full((6, 8, 3), 200, np.uint8)
    tile = depth_tile(photo, np.ones((6, 8), np.float32), np.ones((6, 8), bool))
    write_sheet([tile] * 9, tmp_path / "new" / "sheet.png")
    picture = np.array(Image.open(tmp_path / "new" / "sheet.png"))
    assert picture.shape == (4 * 6 + 3 * 2, 8 * 8 + 7 * 2, 3)
    assert (picture[:6, :8] == 200).all() and (picture[16:22, :8] == 200).all()
    assert not picture[16:22, 10:18].any()
