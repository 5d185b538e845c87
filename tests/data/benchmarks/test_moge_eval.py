import json

import numpy as np
import pytest
from mini_d1 import H, W, moge_codes, pack, same, save, write, write_moge_eval
from PIL import Image

from nearfar.data.benchmarks.moge_eval import log_depth_of
from nearfar.data.catalog import open_dataset
from nearfar.errors import ConfigError, DataError

PLACE = "iBims-1/corridor_01"


def test_codes_cameras_and_indexes(tmp_path):
    told = write_moge_eval(tmp_path / "m")
    data = open_dataset("moge_eval", tmp_path / "m")
    assert list(data.sample_ids) == told["ids"]
    for i in (0, 1):
        record = data.record(i)
        assert record.scene == told["scenes"][i]
        rows = np.array(told["rows_m"])[:, None].repeat(W, 1)
        np.testing.assert_allclose(record.depth_HW, rows, rtol=1e-6)
        assert record.sky_HW[told["sky_row"]].all() and record.sky_HW.sum() == W
        assert not record.valid_HW[[told["sky_row"], told["unknown_row"]]].any()
        assert record.valid_HW.sum() == 4 * W
        assert record.intrinsics_33.tolist() == told["intrinsics"]
        assert record.rgb_HW3.shape == (H, W, 3) and record.masks == {}
    assert record.depth_HW[4, 0] == pytest.approx(10.00035, abs=1e-5)
    for kind in ("tar", "zip"):
        assert same(open_dataset("moge_eval", pack(tmp_path / "m", kind)).record(1), data.record(1))


def test_one_set_by_option_or_as_root(tmp_path):
    told = write_moge_eval(tmp_path)
    chosen = open_dataset("moge_eval", tmp_path, options={"set": "iBims-1", "segments": "yes"})
    assert list(chosen.sample_ids) == told["ids"][1:]
    chair = chosen.record(0).masks["chair"]
    assert chair[told["chair"]] and chair.sum() == 4
    assert list(open_dataset("moge_eval", tmp_path / "iBims-1").sample_ids) == told["ids"][1:]
    with pytest.raises(ConfigError, match="'GSO' is not there"):
        open_dataset("moge_eval", tmp_path, options={"set": "GSO"})


def test_units_multiply(tmp_path):
    save(tmp_path / "d.png", moge_codes(), text={"near": "1", "far": "100", "unit": "0.5"})
    decoded = log_depth_of((tmp_path / "d.png").read_bytes(), "d.png")
    assert decoded.depth_HW[:2, 0].tolist() == pytest.approx([0.5, 50])
    assert decoded.infinite_HW[2].all() and not decoded.valid_HW[3].any()


@pytest.mark.parametrize(
    ("text", "finding"),
    [(None, "near and far"), ({"near": "0", "far": "9"}, "near 0, far 9"),
     ({"near": "3", "far": "x"}, "near and far"), ({"near": "3", "far": "2"}, "near 3, far 2")],
)  # fmt: skip
def test_png_text_is_needed(tmp_path, text, finding):
    write_moge_eval(tmp_path)
    save(tmp_path / PLACE / "depth.png", moge_codes(), text=text)
    with pytest.raises(DataError) as error:
        open_dataset("moge_eval", tmp_path).record(1)
    assert "corridor_01/depth.png: " in str(error.value) and finding in str(error.value)


@pytest.mark.parametrize(
    ("name", "content", "finding"),
    [
        ("meta.json", b"{}", "meta.json: states no intrinsics"),
        ("meta.json", b'{\n"intrinsics": [1,', "meta.json:2: is not JSON"),
        (
            "meta.json",
            json.dumps({"intrinsics": [[0] * 3] * 3}).encode(),
            "are not a camera matrix",
        ),
        ("meta.json", None, "meta.json: no such file"),
        ("depth.png", b"\x89PNG\r\n\x1a\n", "depth.png: is"),
        ("image.jpg", b"\xff\xd8\xff", "image.jpg: is"),
    ],
)
def test_broken_files_are_named(tmp_path, name, content, finding):
    write_moge_eval(tmp_path)
    place = tmp_path / PLACE / name
    place.unlink() if content is None else place.write_bytes(content)
    with pytest.raises(DataError) as error:
        open_dataset("moge_eval", tmp_path).record(1)
    assert finding in str(error.value)


def test_eight_bits_wrong_sizes_and_wrong_lines(tmp_path):
    write_moge_eval(tmp_path)
    data = open_dataset("moge_eval", tmp_path)
    save(tmp_path / PLACE / "depth.png", np.ones((H, W), np.uint8), text={"near": "1", "far": "2"})
    with pytest.raises(DataError, match=r"depth\.png: holds uint8"):
        data.record(1)
    save(tmp_path / PLACE / "depth.png", moge_codes()[:4], text={"near": "1", "far": "2"})
    with pytest.raises(DataError, match=r"depth\.png: depth is \[4, 8\]"):
        data.record(1)
    write(tmp_path / "iBims-1/.index.txt", "corridor_01\nattic_02\n")
    with pytest.raises(
        DataError, match=r"\.index\.txt:2: iBims-1/attic_02/image\.jpg is not there"
    ):
        open_dataset("moge_eval", tmp_path)
    (tmp_path / "none").mkdir()
    with pytest.raises(DataError, match=r"no SET/\.index\.txt"):
        open_dataset("moge_eval", tmp_path / "none")


def test_labels_that_are_none(tmp_path):
    write_moge_eval(tmp_path)
    Image.fromarray(np.zeros((H, W), np.uint8)).save(tmp_path / PLACE / "segmentation.png")
    options = {"set": "iBims-1", "segments": "yes"}
    assert open_dataset("moge_eval", tmp_path, options=options).record(0).masks == {}
    save(tmp_path / PLACE / "segmentation.png", np.zeros((H, W), np.uint8), text={"labels": "[1]"})
    with pytest.raises(DataError, match=r"segmentation\.png: its labels"):
        open_dataset("moge_eval", tmp_path, options=options).record(0)
