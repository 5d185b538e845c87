import shutil

import mini_d2
import numpy as np
import pytest
from reading import invalid_pixels, opened, records, refuses_damage, same

from nearfar.data.catalog import DATASETS, list_identity
from nearfar.data.lists import fingerprint
from nearfar.data.training.vkitti2 import split_keys
from nearfar.errors import ConfigError, DataError


def test_depth_sky_camera_and_pose(tmp_path):
    expected = mini_d2.write_vkitti2(tmp_path)
    found = records("vkitti2", tmp_path, split="val")
    assert [r.sample_id for r in found] == [
        f"vkitti2/Scene01/clone/Camera_{c}/rgb_0000{i}" for c in (0, 1) for i in (0, 1)
    ]
    last = found[3]
    assert last.depth_HW[2, 2] == np.float32(expected["depth"])
    assert last.depth_HW[1, 0] == expected["far"] and not invalid_pixels(last)
    assert last.sky_HW[0].all() and not last.sky_HW[1:].any() and (last.depth_HW[0] == 0).all()
    assert last.intrinsics_33[0, 0] == 725.0087
    assert tuple(last.intrinsics_33[:2, 2]) == expected["cx_cy"]
    np.testing.assert_allclose(last.pose_44[:3, 3], expected["center"])
    assert abs(int(last.rgb_HW3[3, 3, 0]) - 200) < 6  # red is red, through JPEG
    assert last.scene == "Scene01" and last.sequence == "Scene01/clone/Camera_1"


def test_three_roots_hold_the_same(tmp_path):
    mini_d2.write_vkitti2_tar(tmp_path)
    plain = records("vkitti2", tmp_path / "unpacked", split="all")
    apart = tmp_path / "apart"
    for part in ("rgb", "depth"):
        mini_d2.pack(tmp_path / "unpacked", tmp_path / f"{part}.tar", only=f"/frames/{part}/")
        shutil.unpack_archive(tmp_path / f"{part}.tar", apart / part)
    for path in (tmp_path / "unpacked").rglob("*.txt"):
        target = apart / "rgb" / path.relative_to(tmp_path / "unpacked")
        mini_d2.put_text(target, path.read_text())
    for root in (tmp_path / "tars", apart):
        other = records("vkitti2", root, split="all")
        assert len(plain) == len(other) == 8
        assert all(same(a, b) for a, b in zip(plain, other, strict=True))


def test_splits_by_rule_are_the_official_ones():
    card = DATASETS["vkitti2"]
    for split, count in card.expected_counts.items():
        keys = list(split_keys(split))
        assert len(keys) == len(set(keys)) == count
        if split in card.fingerprints:
            assert fingerprint(keys) == card.fingerprints[split]


def test_fog_and_other_scenes_stay_out_of_a_split(tmp_path):
    mini_d2.write_vkitti2(tmp_path)
    assert len(opened("vkitti2", tmp_path, split="all").sample_ids) == 8
    with pytest.raises(DataError, match="no frames of the split 'train'"):
        opened("vkitti2", tmp_path, split="train")  # Scene02 has fog only
    with pytest.raises(ConfigError, match="no split 'night'. Use train, val"):
        opened("vkitti2", tmp_path, split="night")


def test_lists_pick_and_order_frames(tmp_path):
    mini_d2.write_vkitti2(tmp_path)
    line = "Scene02/fog/frames/{0}/Camera_1/{0}_00001.{1}"
    listed = tmp_path / "list.txt"
    listed.write_text(f"{line.format('rgb', 'jpg')} {line.format('depth', 'png')}\r\n"
                      "/Scene01/clone/frames/rgb/Camera_0/rgb_00000.jpg\n"
                      "Scene06/clone/frames/rgb/Camera_0/rgb_00007.jpg x")  # fmt: skip
    data = opened("vkitti2", tmp_path, list_file=listed)
    keys = ["Scene02/fog/Camera_1/rgb_00001", "Scene01/clone/Camera_0/rgb_00000"]
    assert data.keys == [*keys, "Scene06/clone/Camera_0/rgb_00007"]
    assert list_identity(DATASETS["vkitti2"], data).official is None
    with pytest.raises(DataError, match=r"list.txt:3: Scene06\S+ is not in"):
        data.record(2)
    listed.write_text("\nScene02/fog/frames/rgb/Camera_1/0001.jpg\n")
    with pytest.raises(DataError, match=r"list.txt:2: .* is not a photo of Virtual KITTI 2"):
        opened("vkitti2", tmp_path, list_file=listed)
    listed.write_text("Scene18/fog/frames/rgb/Camera_1/rgb_00001.jpg\n")
    with pytest.raises(DataError, match="none of its photos"):
        opened("vkitti2", tmp_path, list_file=listed)


def test_what_is_wrong_is_named(tmp_path):
    mini_d2.write_vkitti2(tmp_path)
    place = tmp_path / "Scene01" / "clone"
    depth = place / "frames" / "depth" / "Camera_0" / "depth_00000.png"
    refuses_damage("vkitti2", tmp_path, depth, split="val")
    photo = place / "frames" / "rgb" / "Camera_0" / "rgb_00000.jpg"
    whole = photo.read_bytes()
    photo.write_bytes(whole[:200])
    with pytest.raises(DataError, match=r"rgb_00000.jpg"):
        opened("vkitti2", tmp_path, split="val").record(0)
    photo.write_bytes(whole)
    mini_d2.put_picture(depth, np.full((6, 8), 12, np.uint8))
    with pytest.raises(DataError, match=r"depth_00000.png: holds uint8"):
        opened("vkitti2", tmp_path, split="val").record(0)
    mini_d2.put_picture(depth, np.full((6, 9), 12, np.uint16))
    with pytest.raises(DataError, match=r"depth_00000.png: depth is \[6, 9\]"):
        opened("vkitti2", tmp_path, split="val").record(0)
    table = place / "intrinsic.txt"
    table.write_text(table.read_text().replace("0 1 725.0087", "0 1 seven"))
    with pytest.raises(DataError, match=r"intrinsic.txt:3: is not a list of numbers"):
        opened("vkitti2", tmp_path, split="val").record(1)
    with pytest.raises(DataError, match="no SceneXX/VARIANT"):
        opened("vkitti2", tmp_path / "Scene01" / "clone" / "frames" / "rgb")


def test_without_tables_the_camera_is_known_at_full_size_only(tmp_path):
    mini_d2.write_vkitti2(tmp_path)
    for path in tmp_path.rglob("*.txt"):
        path.unlink()
    (record, *_) = records("vkitti2", tmp_path, split="val")
    assert record.intrinsics_33 is None and record.pose_44 is None
