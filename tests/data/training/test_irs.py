import mini_d2
import pytest
from reading import invalid_pixels, opened, records, refuses_damage, same

from nearfar.data.training.frames import Frame
from nearfar.data.training.irs import of_split


def test_depth_camera_and_split(tmp_path):
    expected = mini_d2.write_irs(tmp_path / "a")
    test = records("irs", tmp_path / "a", split="test")
    assert [r.sample_id for r in test] == [f"irs/{key}" for key in expected["test"]]
    assert test[0].depth_HW[3, 3] == pytest.approx(expected["depth"])
    assert invalid_pixels(test[0]) == expected["invalid"]  # no disparity; 480 m away
    assert test[0].intrinsics_33[0].tolist() == [4, 0, 4] and test[0].sky_HW is None
    train = opened("irs", tmp_path / "a", split="train")
    assert (
        len(train.keys) + 3
        == expected["count"]
        == len(opened("irs", tmp_path / "a", split="all").keys)
    )
    assert not set(train.keys) & set(expected["test"])
    mini_d2.pack(tmp_path / "a", tmp_path / "a.tar")
    others = records("irs", tmp_path / "a.tar", split="test")
    assert all(same(a, b) for a, b in zip(test, others, strict=True))


def test_other_light_is_the_same_scene(tmp_path):
    mini_d2.write_irs(tmp_path)
    data = opened("irs", tmp_path, split="all")
    dark = data.record(data.keys.index("Home/RoomA_Dark/10"))
    assert dark.scene == "Home/RoomA" and dark.sequence == "Home/RoomA_Dark"


def test_official_counts_by_rule():
    """Every 7th of each category, starting with the first: 4450 + 6203 + 3152 + 957."""
    sizes = {"Home": 31145, "Office": 43417, "Restaurant": 22058, "Store": 6696}
    frames = [
        Frame(f"{category}/S/{i}", (category, "S", str(i)), {})
        for category, count in sizes.items()
        for i in range(count)
    ]
    assert len(frames) == 103316
    assert len(of_split(frames, "test")) == 14762 and len(of_split(frames, "train")) == 88554


def test_damage_is_named(tmp_path):
    mini_d2.write_irs(tmp_path)
    refuses_damage("irs", tmp_path, tmp_path / "Home" / "RoomA" / "d_1.exr", split="test")
