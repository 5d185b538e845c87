import dataclasses
import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))  # for the mini trees

import mini_c
import mini_d1
import mini_d2

from nearfar.data.cards import DatasetCard
from nearfar.data.catalog import find_dataset
from nearfar.data.check import Located, examine, locate, warnings_of
from nearfar.data.record import DepthRecord
from nearfar.errors import ConfigError, DataError

TREES = {
    mini_c.write_nyu: "nyu",
    mini_c.write_nyu_bts: "nyu",
    mini_c.write_nyu_marigold: "nyu",
    mini_c.write_kitti: "kitti",
    mini_c.write_kitti_selection: "kitti",
    mini_c.write_eth3d: "eth3d",
    mini_c.write_diode: "diode",
    mini_c.write_sunrgbd: "sunrgbd",
    mini_c.write_scannet: "scannet",
    mini_d1.write_ibims: "ibims",
    mini_d1.write_tum: "tum",
    mini_d1.write_bonn: "bonn",
    mini_d1.write_middlebury: "middlebury",
    mini_d1.write_sintel: "sintel",
    mini_d1.write_da2k: "da2k",
    mini_d1.write_moge_eval: "moge_eval",
    mini_d1.write_kit: "folder",
    mini_d1.write_stems: "folder",
    mini_d2.write_hypersim: "hypersim",
    mini_d2.write_hypersim_marigold: "hypersim",
    mini_d2.write_vkitti2: "vkitti2",
    mini_d2.write_vkitti2_tar: "vkitti2",
    mini_d2.write_urbansyn: "urbansyn",
    mini_d2.write_unrealstereo4k: "unrealstereo4k",
    mini_d2.write_tartanair: "tartanair",
    mini_d2.write_tartanair2: "tartanair",
    mini_d2.write_irs: "irs",
    mini_d2.write_pointodyssey: "pointodyssey",
    mini_d2.write_webdataset: "webdataset",
}


@pytest.mark.parametrize("write", TREES, ids=lambda write: write.__name__.removeprefix("write_"))
def test_every_layout_is_told_and_read(write, tmp_path):
    write(tmp_path)
    located = locate(tmp_path)
    assert located.card.name == TREES[write]
    found = examine(located, samples=5)
    assert found.read and not found.broken and found.tiles


@dataclasses.dataclass
class Invented:
    """A dataset of records with given depth maps; None is a broken one."""

    depths: list
    changes: dict = dataclasses.field(default_factory=dict)

    @property
    def sample_ids(self):
        return [f"x/{i}" for i in range(len(self.depths))]

    def record(self, index):
        depth = self.depths[index]
        if depth is None:
            raise DataError(f"file{index}.png", "is damaged")
        depth = np.asarray(depth, np.float32)
        rgb = np.random.default_rng(index).integers(0, 255, (*depth.shape, 3), np.uint8)
        fields = {
            "sample_id": f"x/{index}",
            "scene": "x",
            "rgb_HW3": rgb,
            "depth_HW": depth,
            "valid_HW": depth > 0,
        }
        return DepthRecord(**(fields | self.changes))


def card(**changes):
    fields = {"name": "x", "title": "X", "licence": "none", "commercial": True}
    fields |= {"module": "a:b", "place": "indoor", "splits": ("all",), "range_m": (0.1, 10.0)}
    return DatasetCard(**(fields | changes))


def looked_at(depths, *, samples=20, changes=None, **of_card):
    return examine(
        Located(card(**of_card), "all", Invented(depths, changes or {})), samples=samples
    )


RAMP = np.linspace(1, 5, 48).reshape(6, 8)


def test_samples_are_spread_over_the_set_and_the_broken_ones_named():
    depths = [RAMP] * 100
    depths[99] = None
    found = looked_at(depths, samples=3)
    assert (found.read, found.count) == (2, 100)
    assert len(found.broken) == 1 and "file99.png" in found.broken[0]
    assert looked_at([RAMP] * 2, samples=20).read == 2
    with pytest.raises(ConfigError):
        looked_at([RAMP], samples=0)


def test_numbers_are_those_of_the_records():
    half = RAMP.copy()
    half[:3] = 0
    found = looked_at([half], changes={"sky_HW": half == 0})
    assert found.valid == [0.5] and found.sky == [0.5]
    assert found.percentiles()[50] == pytest.approx(np.median(RAMP[3:]))
    assert found.has["sky"] == 1 and found.has["pose"] == 0
    assert warnings_of(found) == []


@pytest.mark.parametrize(
    ("depths", "of_card", "words"),
    [
        ([RAMP * 100], {"range_m": None}, "centimetres"),
        ([RAMP * 1000], {"range_m": None}, "millimetres"),
        ([RAMP * 1e-3], {"range_m": None}, "too small"),
        ([RAMP * 3], {}, "outside (0.1, 10.0)"),
        ([np.full((6, 8), 2.0)], {}, "only one value"),
        ([np.where(RAMP > 4, 65.535, RAMP)], {"range_m": None}, "largest 16-bit value"),
        ([np.where(RAMP > 4.99, RAMP, 0)], {}, "hardly any pixel"),
        ([RAMP], {"expected_counts": {"all": 7}}, "1 samples, the official split all has 7"),
        ([RAMP], {"expected_counts": {"all": 1}}, "fingerprint is not"),
        ([RAMP], {"has_pose": True}, "no record has a pose"),
    ],
)
def test_what_looks_wrong_is_said(depths, of_card, words):
    (warning,) = warnings_of(looked_at(depths, **of_card))
    assert words in warning


def test_depth_that_is_not_metric_has_no_unit_to_doubt():
    found = looked_at([RAMP * 1e6], changes={"depth_kind": "scale"})
    assert warnings_of(found) == []


def test_pictures_of_one_color_are_said():
    black = {"rgb_HW3": np.zeros((6, 8, 3), np.uint8)}
    assert "of one color" in warnings_of(looked_at([RAMP], changes=black))[0]


def test_official_list_is_recognized():
    from nearfar.data.lists import fingerprint

    prints = {"all": fingerprint(["x/0"])}
    found = looked_at([RAMP], expected_counts={"all": 1}, fingerprints=prints)
    assert found.identity.official == "all" and warnings_of(found) == []


def test_layouts_that_none_or_several_know_are_refused(tmp_path):
    (tmp_path / "notes.txt").write_text("nothing here")
    with pytest.raises(DataError, match="fits no layout"):
        locate(tmp_path)
    mini_d1.write_rgbd_sequence(tmp_path / "two")
    with pytest.raises(DataError, match=r"several datasets.*--dataset"):
        locate(tmp_path / "two")
    with pytest.raises(DataError):
        locate(tmp_path / "none")
    assert find_dataset("rendered").needs_files is False
