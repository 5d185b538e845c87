import mini_d2
import numpy as np
import pytest
from reading import invalid_pixels, opened, records, refuses_damage, same

from nearfar.data.catalog import DATASETS
from nearfar.data.training.hypersim import tone_map
from nearfar.errors import ConfigError, DataError
from nearfar.geometry.clouds import backproject


def test_exact_cameras_tone_mapping_and_poses(tmp_path):
    expected = mini_d2.write_hypersim(tmp_path)
    (plain,) = records("hypersim", tmp_path, split="train")
    (tilted,) = records("hypersim", tmp_path, split="val")
    assert plain.sample_id == f"hypersim/{expected['train'][0]}"
    assert tilted.depth_HW[0, 1] == 0 and invalid_pixels(tilted) == [(0, 0), (0, 1)]
    assert tilted.depth_HW[5, 1] == pytest.approx(1.6344, abs=1e-4)
    assert tilted.depth_HW[0, 6] == pytest.approx(1.85954, abs=1e-4)  # mirrors column 1
    assert tilted.intrinsics_33 == pytest.approx(
        np.array([[6.7519, 0, 4], [0, 6.7519, 1.4471], [0, 0, 1]]), abs=1e-4
    )
    assert plain.rgb_HW3[3, 3].tolist() == [204] * 3 and plain.rgb_HW3[5, 7].tolist() == [255] * 3
    assert plain.rgb_HW3[4, 4].tolist() == [0] * 3  # NaN colors
    assert plain.camera_exact and plain.sequence == "ai_001_001/cam_00"
    for record in (plain, tilted):
        np.testing.assert_allclose(record.pose_44[:3, 3], (2.54, 0, 0))
    np.testing.assert_allclose(plain.pose_44[:3, :3], np.diag([1, -1, -1]), atol=1e-12)


def test_points_in_the_world_do_not_depend_on_the_camera_model(tmp_path):
    """The pinhole's pose turns back what its image plane was turned by."""
    mini_d2.write_hypersim(tmp_path)
    (record,) = records("hypersim", tmp_path, split="val")
    points = backproject(record.depth_HW, record.intrinsics_33) @ record.pose_44[:3, :3].T
    u = (np.arange(8) + 0.5) / 4 - 1
    v = 1 - (np.arange(6) + 0.5) / 3
    uv = np.stack([*np.meshgrid(u, v), np.ones((6, 8))], -1)
    rays = uv @ np.array(mini_d2.TILTED).T  # camera axes of the files; the orientation is 1
    stated = 2 * rays / np.linalg.norm(rays, axis=-1, keepdims=True)
    np.testing.assert_allclose(points[1:], stated[1:], atol=1e-5)


def test_plain_camera_for_all(tmp_path):
    mini_d2.write_hypersim(tmp_path)
    (tmp_path / "metadata_camera_parameters.csv").unlink()
    (record,) = records("hypersim", tmp_path, split="val", camera="marigold")
    focal = 886.81 * 8 / 1024
    assert record.depth_HW[0, 6] == pytest.approx(1.78145, abs=1e-5)
    assert record.intrinsics_33[0, 0] == focal and tuple(record.intrinsics_33[:2, 2]) == (4, 3)
    assert not record.camera_exact and record.notes["camera"] == "marigold"
    np.testing.assert_allclose(record.pose_44[:3, :3], np.diag([1, -1, -1]), atol=1e-12)
    with pytest.raises(DataError, match=r"no metadata_camera_parameters.csv.*camera=marigold"):
        opened("hypersim", tmp_path, split="val")


def test_previews_and_missing_files(tmp_path):
    mini_d2.write_hypersim(tmp_path)
    (record,) = records("hypersim", tmp_path, split="train", rgb="preview")
    assert abs(int(record.rgb_HW3[2, 2, 0]) - 90) < 4  # the tonemap file, not the color one
    geometry = tmp_path / "ai_001_001" / "images" / "scene_cam_00_geometry_hdf5"
    (geometry / "frame.0000.render_entity_id.hdf5").unlink()
    (record,) = records("hypersim", tmp_path, split="train", rgb="preview")
    assert invalid_pixels(record) == [(0, 0)]
    with pytest.raises(DataError, match="has no entity file beside it"):
        opened("hypersim", tmp_path, split="train").record(0)


def test_splits_come_from_the_official_table(tmp_path):
    expected = mini_d2.write_hypersim(tmp_path)
    everything = opened("hypersim", tmp_path, split="all")
    assert everything.keys == expected["train"] + expected["val"]
    with pytest.raises(DataError, match="no frames of the split 'test'"):
        opened("hypersim", tmp_path, split="test")
    table = tmp_path / "metadata_images_split_scene_v1.csv"
    whole = table.read_text()
    table.write_text(whole.replace("cam_00,0,", "cam_00,zero,"))
    with pytest.raises(DataError, match=r"scene_v1.csv:2: frame_id is 'zero', no number"):
        opened("hypersim", tmp_path, split="train")
    table.write_text(whole.replace("split_partition_name", "partition"))
    with pytest.raises(DataError, match=r"scene_v1.csv:2: has no column split_partition_name"):
        opened("hypersim", tmp_path, split="train")
    table.unlink()
    assert len(opened("hypersim", tmp_path, split="all").keys) == 2
    with pytest.raises(DataError, match=r"no metadata_images_split_scene_v1.csv.*split=all"):
        opened("hypersim", tmp_path, split="train")


def test_known_bad_cameras(tmp_path):
    expected = mini_d2.write_hypersim(tmp_path)
    bad = tmp_path / "ai_004_009"
    (tmp_path / "ai_001_001").rename(bad)
    (bad / "images" / "scene_cam_00_geometry_hdf5").rename(
        bad / "images" / "scene_cam_01_geometry_hdf5"
    )
    (bad / "images" / "scene_cam_00_final_hdf5").rename(bad / "images" / "scene_cam_01_final_hdf5")
    table = tmp_path / "metadata_images_split_scene_v1.csv"
    table.write_text(table.read_text().replace("ai_001_001,cam_00", "ai_004_009,cam_01"))
    with pytest.raises(DataError, match="no frames"):
        opened("hypersim", tmp_path, split="train")
    kept = opened("hypersim", tmp_path, split="train", known_bad="keep")
    assert kept.keys == ["ai_004_009/cam_01/0000"]
    assert opened("hypersim", tmp_path, split="all", known_bad="drop").keys == expected["val"]


def test_damage_is_named(tmp_path):
    mini_d2.write_hypersim(tmp_path)
    images = tmp_path / "ai_001_001" / "images"
    for folder, file in (
        ("geometry_hdf5", "depth_meters"),
        ("geometry_hdf5", "render_entity_id"),
        ("final_hdf5", "color"),
    ):
        path = images / f"scene_cam_00_{folder}" / f"frame.0000.{file}.hdf5"
        for content in (path.read_bytes()[:900], b""):
            whole = path.read_bytes()
            path.write_bytes(content)
            with pytest.raises(DataError, match=rf"{file}.hdf5: is a damaged HDF5"):
                opened("hypersim", tmp_path, split="train").record(0)
            path.write_bytes(whole)
    mini_d2.put_hdf5(images / "scene_cam_00_geometry_hdf5" / "frame.0000.depth_meters.hdf5",
                     np.ones((6, 8, 2), np.float16))  # fmt: skip
    with pytest.raises(DataError, match=r"depth_meters.hdf5: holds \[6, 8, 2\]"):
        opened("hypersim", tmp_path, split="train").record(0)


def test_processed_form_from_folder_tar_and_list(tmp_path):
    expected = mini_d2.write_hypersim_marigold(tmp_path)
    (record,) = records("hypersim", tmp_path, split="train")
    assert record.depth_HW[1, 1] == expected["depth"]
    assert invalid_pixels(record) == expected["invalid"]
    assert record.rgb_HW3[2, 3].tolist() == mini_d2.photo()[2, 3].tolist()
    assert not record.camera_exact
    tar = tmp_path / "packed" / "hypersim_processed_train.tar"
    listed = tmp_path / "filename_list_train_filtered.txt"
    for root, options in (
        (tar, {"split": "train"}),
        (tmp_path / "packed", {"split": "train"}),
        (tmp_path / "train", {"list_file": listed}),
        (tar, {"list_file": listed}),
    ):
        (other,) = records("hypersim", root, **options)
        assert same(record, other)
    with pytest.raises(DataError, match="no folder val/ and no tar named after it"):
        opened("hypersim", tmp_path, split="val")
    with pytest.raises(ConfigError, match="Use the raw files, or camera=marigold"):
        opened("hypersim", tmp_path, split="train", camera="exact")
    depth = tmp_path / "train" / "ai_001_001" / "depth_plane_cam_00_fr0000.png"
    refuses_damage("hypersim", tmp_path / "train", depth, list_file=listed)


def test_raw_files_by_marigolds_list(tmp_path):
    mini_d2.write_hypersim(tmp_path)
    listed = tmp_path / "list.txt"
    listed.write_text("ai_007_005/rgb_cam_00_fr0003.png ai_007_005/depth_plane_cam_00_fr0003.png")
    assert opened("hypersim", tmp_path, list_file=listed).keys == ["ai_007_005/cam_00/0003"]


def test_tone_map_of_black_and_empty_pictures():
    color = np.full((2, 2, 3), 0.25)
    nowhere = np.zeros((2, 2), bool)
    assert (tone_map(color, nowhere, where="x") == int(0.25 ** (1 / 2.2) * 255)).all()
    assert (tone_map(color * 1e-5, ~nowhere, where="x") == 0).all()
    half = np.random.default_rng(0).uniform(-1, 3, (40, 30, 3)).astype(np.float16)
    half[0, 0, 0], half[0, 0, 1] = np.nan, np.inf
    known = np.ones((40, 30), bool)
    table = tone_map(half, known, where="x")
    assert (table == tone_map(half.astype(np.float64), known, where="x")).all()
    assert table[0, 0, 0] == 0 and table[0, 0, 1] == 255 and len(np.unique(table)) > 150
    with pytest.raises(DataError, match="differ in size"):
        tone_map(color, np.zeros((3, 2), bool), where="x")


def test_nothing_there_says_what_was_looked_for(tmp_path):
    with pytest.raises(DataError, match=r"no scene_cam_XX_geometry_hdf5.*and no depth_plane_cam"):
        opened("hypersim", tmp_path, split="all")
    assert DATASETS["hypersim"].allows_commercial_use
