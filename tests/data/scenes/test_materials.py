import numpy as np
import pytest

from nearfar.data.scenes.materials import FAMILIES, NATURAL, draw_color, draw_material
from nearfar.data.scenes.textures import PATTERNS, texture_index

INDEX = texture_index()


def drawn(family, *, plain, count=60, **switches):
    rng = np.random.default_rng(0)
    return [draw_material(rng, INDEX, family, plain=plain, **switches) for _ in range(count)]


@pytest.mark.parametrize("family", FAMILIES)
def test_materials_of_every_family_are_physical(family):
    patterns = FAMILIES[family].patterns + NATURAL.get(family, FAMILIES[family]).patterns
    allowed = {number for pattern in patterns for number in INDEX.ranges[pattern]}
    assert all(pattern in PATTERNS or pattern == "photo" for pattern in patterns)
    for material in drawn(family, plain=0.5):
        assert all(0 <= c < 1.5 for c in material.color)
        assert material.texture in allowed
        assert 0 <= material.contrast <= 1 and material.size_m >= 0 and 0 <= material.gloss <= 1


def test_plain_share_is_about_as_asked():
    faint = [m.contrast <= 0.3 for m in drawn("wall", plain=0.7, count=400, natural=0.0)]
    assert 0.62 < np.mean(faint) < 0.78
    assert not any(m.contrast <= 0.3 for m in drawn("package", plain=1.0, natural=0.0))


def test_colors_are_mostly_muted_unless_vivid():
    def spread(vivid):
        rng = np.random.default_rng(1)
        colors = np.array([draw_color(rng, 0.05, 0.6, vivid) for _ in range(300)])
        assert colors.min() > 0 and colors.max() < 1
        return np.median(colors.max(1) / colors.min(1))

    assert spread(0.0) < 1.8 < spread(1.0)


def test_switches_choose_older_surfaces_and_blank_packages():
    old = set(FAMILIES["floor"].patterns)
    allowed = {number for pattern in old for number in INDEX.ranges[pattern]}
    assert {m.texture for m in drawn("floor", plain=0.5, natural=0.0)} <= allowed
    assert not {m.texture for m in drawn("floor", plain=0.5, natural=1.0)} <= allowed
    assert all(m.contrast <= 0.5 for m in drawn("carton", plain=1.0, prints=0.0))
    assert all(m.contrast >= 0.7 for m in drawn("carton", plain=1.0, prints=1.0))


def test_cardboard_is_brown_and_prints_keep_their_own_colors():
    for material in drawn("cardboard", plain=0.5):
        assert material.color[0] > material.color[1] > material.color[2]
    assert all(len(set(m.color)) == 1 for m in drawn("carton", plain=0.5))
