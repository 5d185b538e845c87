import mini_d2
import numpy as np
import pytest
from reading import invalid_pixels, opened, records, refuses_damage, same

from nearfar.errors import DataError


def test_depth_from_disparity(tmp_path):
    expected = mini_d2.write_unrealstereo4k(tmp_path / "a")
    (record,) = records("unrealstereo4k", tmp_path / "a", split="train")
    assert record.depth_HW[3, 3] == pytest.approx(expected["depth"])
    assert invalid_pixels(record) == expected["invalid"]
    assert [tuple(p) for p in np.argwhere(record.sky_HW)] == expected["sky"]
    assert record.rgb_HW3.tolist() == mini_d2.photo().tolist()  # alpha dropped, not blended
    np.testing.assert_allclose(record.pose_44[:3, 3], expected["center"])
    assert record.notes["baseline_m"] == pytest.approx(0.2)
    (other,) = records("unrealstereo4k", tmp_path / "a", split="out_test")
    assert other.scene == "00008" and record.scene == "00000"
    mini_d2.pack(tmp_path / "a", tmp_path / "a.tar")
    assert same(record, records("unrealstereo4k", tmp_path / "a.tar", split="train")[0])


def test_smaller_copies_and_raw_photos(tmp_path):
    mini_d2.write_unrealstereo4k(tmp_path)
    for path in tmp_path.rglob("Extrinsics*/*.txt"):
        path.write_text(path.read_text().replace("100 0 4 0 100 3", "400 0 16 0 400 12"))
    photo = tmp_path / "00000" / "Image0" / "00000.png"
    photo.unlink()
    photo.with_suffix(".raw").write_bytes(mini_d2.photo().tobytes())
    (record,) = records("unrealstereo4k", tmp_path, split="train")
    assert record.intrinsics_33[0].tolist() == [100, 0, 4]
    assert record.depth_HW[3, 3] == pytest.approx(2.0)
    assert record.rgb_HW3.tolist() == mini_d2.photo().tolist()
    photo.with_suffix(".raw").write_bytes(b"123")
    with pytest.raises(DataError, match=r"00000.raw: has 3 bytes"):
        opened("unrealstereo4k", tmp_path).record(0)


def test_damage_is_named(tmp_path):
    mini_d2.write_unrealstereo4k(tmp_path)
    refuses_damage("unrealstereo4k", tmp_path, tmp_path / "00000" / "Disp0" / "00000.npy")
    text = tmp_path / "00000" / "Extrinsics1" / "00000.txt"
    whole = text.read_text()
    for changed, finding in (
        ("1 2 3", "has 3 numbers, not 21"),
        (whole.replace("-0.2", "0"), "both cameras are at one place"),
        (whole.replace("100 0 4", "0 0 4"), "holds no camera"),
    ):
        text.write_text(changed)
        with pytest.raises(DataError, match=finding):
            opened("unrealstereo4k", tmp_path).record(0)
    text.unlink()
    with pytest.raises(DataError, match="has no right file beside it"):
        opened("unrealstereo4k", tmp_path).record(0)
