import mini_d2
import numpy as np
import pytest
from reading import invalid_pixels, opened, records, refuses_damage, same

from nearfar.errors import DataError


def test_metres_sky_and_camera(tmp_path):
    expected = mini_d2.write_urbansyn(tmp_path / "a")
    (record,) = records("urbansyn", tmp_path / "a")
    assert record.depth_HW[3, 3] == pytest.approx(expected["depth"])
    assert record.sky_HW[0].all() and not record.sky_HW[1:].any() and not invalid_pixels(record)
    camera = record.intrinsics_33
    assert (camera[0, 0], camera[1, 1], camera[0, 2], camera[1, 2]) == expected["camera"]
    assert record.sample_id == "urbansyn/0001"
    mini_d2.pack(tmp_path / "a", tmp_path / "a.tar", start="UrbanSyn/")
    (other,) = records("urbansyn", tmp_path / "a.tar")
    assert same(record, other)


def test_without_labels_and_camera(tmp_path):
    mini_d2.write_urbansyn(tmp_path)
    (tmp_path / "ss" / "ss_0001.png").unlink()
    (tmp_path / "camera_metadata.json").unlink()
    (tmp_path / "depth" / "depth_0001.exr").rename(tmp_path / "depth" / "depth_0001.exr.1")
    (record,) = records("urbansyn", tmp_path)
    assert record.sky_HW[0].all() and not record.sky_HW[1:].any()  # beyond 200 m
    assert record.intrinsics_33 is None and record.notes["sky"] == "beyond 200 m"


def test_damage_is_named(tmp_path):
    mini_d2.write_urbansyn(tmp_path)
    refuses_damage("urbansyn", tmp_path, tmp_path / "depth" / "depth_0001.exr")
    camera = tmp_path / "camera_metadata.json"
    whole = camera.read_text()
    for text in ("{", '{"parameters": []}', whole.replace("20.0", "-1")):
        camera.write_text(text)
        with pytest.raises(DataError, match="camera_metadata.json"):
            opened("urbansyn", tmp_path)
    camera.write_text(whole)
    mini_d2.put_picture(tmp_path / "ss" / "ss_0001.png", np.zeros((5, 8), np.uint8))
    with pytest.raises(DataError, match=r"depth_0001.exr: depth is \[6, 8\], its sky \[5, 8\]"):
        opened("urbansyn", tmp_path).record(0)
