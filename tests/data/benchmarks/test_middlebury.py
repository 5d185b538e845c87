import numpy as np
import pytest
from mini_d1 import H, W, middlebury_calib, pack, pfm, photo, same, save, write, write_middlebury

from nearfar.data.benchmarks.middlebury import calibration_of
from nearfar.data.catalog import open_dataset
from nearfar.errors import ConfigError, DataError

SCENE = "Adirondack-perfect"


def test_disparity_becomes_metres(tmp_path):
    told = write_middlebury(tmp_path / "m")
    data = open_dataset("middlebury", tmp_path / "m")
    assert list(data.sample_ids) == told["ids"]
    for i in (0, 1):
        record = data.record(i)
        assert record.scene == told["scenes"][i]
        np.testing.assert_array_equal(record.rgb_HW3, photo())
        for place, metres in told["depth_m"].items():
            assert record.depth_HW[place] == np.float32(metres)
        assert not record.valid_HW[told["invalid_row"]].any() and record.valid_HW[1:].all()
        assert record.intrinsics_33.tolist() == told["intrinsics"]
    assert data.record(0).masks == {}
    seen = data.record(1).masks["nonoccluded"]
    assert not seen[:, told["occluded_col"]].any() and seen[:, :7].all()
    for kind in ("tar", "zip"):
        assert same(
            open_dataset("middlebury", pack(tmp_path / "m", kind)).record(0), data.record(0)
        )


def test_splits_go_by_folder(tmp_path):
    told = write_middlebury(tmp_path)
    for split, expected in (("perfect", told["ids"][:1]), ("trainingQ", told["ids"][1:])):
        assert list(open_dataset("middlebury", tmp_path, split=split).sample_ids) == expected
    with pytest.raises(DataError, match="imperfect"):
        open_dataset("middlebury", tmp_path, split="imperfect")
    with pytest.raises(ConfigError, match="split"):
        open_dataset("middlebury", tmp_path, split="test")
    alone = open_dataset("middlebury", tmp_path / SCENE)
    assert alone.sample_ids == (f"middlebury/{SCENE}",)
    assert alone.record(0).scene == "Adirondack"


@pytest.mark.parametrize(
    ("changes", "finding"),
    [
        ({"doffs": None}, "calib.txt: has no doffs"),
        ({"doffs": "five"}, "calib.txt:3: doffs='five' is not a number"),
        ({"baseline": "-1"}, "calib.txt:4: baseline -1.0 is not positive"),
        ({"cam0": "1000 0 4"}, "calib.txt:1: cam0='1000 0 4' is not a camera"),
        ({"width": "16"}, "calib.txt: is for images of [6, 16]"),
    ],
)
def test_wrong_calibration_is_named(tmp_path, changes, finding):
    write_middlebury(tmp_path)
    write(tmp_path / SCENE / "calib.txt", middlebury_calib(**changes))
    with pytest.raises(DataError) as error:
        open_dataset("middlebury", tmp_path).record(0)
    assert finding in str(error.value)


def test_calibration():
    stated = calibration_of(middlebury_calib(width=None), "x")
    assert stated == (1000, 1000, 4, 3, 100, 5, None)
    with pytest.raises(DataError, match="x:2: is not"):
        calibration_of("doffs=1\nhello\n", "x")


@pytest.mark.parametrize(
    ("name", "content", "finding"),
    [
        ("disp0.pfm", pfm(np.ones((H, W)))[:-3], "disp0.pfm: is a damaged"),
        ("disp0.pfm", pfm(np.ones((H, W + 1))), "disp0.pfm: depth is [6, 9]"),
        ("im0.png", b"", "im0.png: is"),
        ("calib.txt", None, "calib.txt: no such file"),
    ],
)
def test_broken_files_are_named(tmp_path, name, content, finding):
    write_middlebury(tmp_path)
    place = tmp_path / SCENE / name
    place.unlink() if content is None else place.write_bytes(content)
    with pytest.raises(DataError) as error:
        open_dataset("middlebury", tmp_path).record(0)
    assert finding in str(error.value)


def test_a_mask_of_another_size_is_refused(tmp_path):
    write_middlebury(tmp_path)
    save(tmp_path / "trainingQ/Piano/mask0nocc.png", np.ones((3, 4), np.uint8))
    with pytest.raises(DataError, match=r"mask0nocc\.png: is \[3, 4\]"):
        open_dataset("middlebury", tmp_path).record(1)
