import numpy as np
import pytest
import torch

from nearfar.data.scenes.textures import (
    LEVELS,
    PATTERNS,
    SIZE,
    look_up,
    make_atlas,
    read_photos,
    texture_index,
)
from nearfar.io.images import write_picture


def test_every_texture_has_mean_one_on_all_levels(atlas):
    count = sum(number for _, number in PATTERNS.values())
    texels = atlas.texels_P3.view(count, atlas.texture_stride, 3)
    assert texels.min() >= 0
    for level, start in enumerate(atlas.level_start_L.tolist()):
        side = SIZE >> level
        mean = texels[:, start : start + side * side].mean((1, 2))
        torch.testing.assert_close(mean, torch.ones(count), atol=0.03, rtol=0)
    assert len(atlas.level_start_L) == LEVELS


def test_look_up_hits_texel_centers_and_repeats(atlas):
    texture, at = torch.tensor([3]), torch.tensor([(5 + 0.5) / SIZE])
    row = torch.tensor([(9 + 0.5) / SIZE])
    level = torch.zeros(1)
    expected = atlas.texels_P3[3 * atlas.texture_stride + 9 * SIZE + 5]
    torch.testing.assert_close(look_up(atlas, texture, at, row, level)[0], expected)
    again = look_up(atlas, texture, at + 3, row - 2, level)[0]
    torch.testing.assert_close(again, expected, atol=2e-4, rtol=0)
    coarse = look_up(atlas, texture, at, row, torch.tensor([7.0]))[0]
    assert (coarse - 1).abs().max() < 0.5  # the mean of the texture


def test_atlas_depends_on_its_seed(atlas):
    assert torch.equal(make_atlas(0, []).texels_P3, atlas.texels_P3)
    assert not torch.equal(make_atlas(1, []).texels_P3, atlas.texels_P3)


def test_index_follows_the_atlas_and_falls_back_to_posters():
    index, rng = texture_index(2), np.random.default_rng(0)
    start = sum(number for _, number in PATTERNS.values())
    assert {index.draw(rng, "photo") for _ in range(20)} == {start, start + 1}
    assert texture_index().ranges["photo"] == index.ranges["poster"]


def test_photos_of_a_folder_become_squares(tmp_path):
    picture = np.zeros((40, 90, 3), np.uint8)
    picture[..., 1] = 200
    write_picture(picture, tmp_path / "a.png")
    (tmp_path / "notes.txt").write_text("no picture")
    (square,) = read_photos(str(tmp_path))
    assert square.shape == (SIZE, SIZE, 3)
    assert square[..., 1].mean() == pytest.approx((200 / 255) ** 2.2, rel=1e-3)
    assert read_photos("") == []
