import numpy as np
import pytest
from mini_d1 import H, W, pack, photo, same, save, write, write_ibims, write_ibims_mat

from nearfar.data.catalog import open_dataset
from nearfar.errors import DataError


def test_depth_masks_edges_and_camera(tmp_path):
    told = write_ibims(tmp_path / "i")
    data = open_dataset("ibims", tmp_path / "i")
    assert data.sample_ids == ("ibims/kitchen_02", "ibims/corridor_01")  # as the list says
    record = data.record(1)
    np.testing.assert_array_equal(record.rgb_HW3, photo(0))
    valid = np.ones((H, W), bool)
    valid[told["invalid_rows"]] = False
    valid[told["hole"]] = False
    np.testing.assert_array_equal(record.valid_HW, valid)
    assert record.depth_HW[2, 2] == np.float32(told["depth_m"]) == pytest.approx(10.0, abs=1e-3)
    assert record.edges_HW[:, told["edge_col"]].all() and record.edges_HW.sum() == H
    assert record.intrinsics_33.tolist() == told["intrinsics"]
    assert record.notes["camera_in_file"] == (550, 551, 4, 3)
    assert record.scene == "corridor_01" and record.sky_HW is None and record.pose_44 is None


def test_planes_face_the_camera_in_its_own_axes(tmp_path):
    told = write_ibims(tmp_path)
    planes = open_dataset("ibims", tmp_path).record(0).planes
    assert [plane.name for plane in planes] == ["wall_1", "wall_2"]
    for plane in planes:
        assert plane.normal_3.tolist() == pytest.approx([0, 0, -1])
        assert plane.offset == pytest.approx(-told["depth_m"])
    assert planes[0].mask_HW[:, :3].all() and not planes[0].mask_HW[:, 3:].any()
    assert planes[1].mask_HW[:, 5:].all() and not planes[1].mask_HW[:, :5].any()
    assert open_dataset("ibims", tmp_path, options={"planes": "no"}).record(0).planes == ()


def test_a_tilted_plane_keeps_its_equation(tmp_path):
    write_ibims(tmp_path, names=("a",))
    row = "0,0,0,0,0.6,0,-0.8\n"  # x right 0.6, up -0.8: in camera axes (0.6, 0.8, 0)
    write(tmp_path / "ibims1_core_raw/mask_wall/a.txt", row + row)
    plane = open_dataset("ibims", tmp_path).record(0).planes[0]
    assert plane.normal_3.tolist() == pytest.approx([0.6, 0.8, 0])
    record = open_dataset("ibims", tmp_path).record(0)
    y, x = np.nonzero(plane.mask_HW & record.valid_HW)
    ray_x, ray_y = (x + 0.5 - 4.5) / 550, (y + 0.5 - 3.5) / 551
    expected = np.median(record.depth_HW[y, x] * (0.6 * ray_x + 0.8 * ray_y))
    assert plane.offset == pytest.approx(float(expected))


def test_archives_and_the_struct_layout_say_the_same(tmp_path):
    write_ibims(tmp_path / "i", names=("corridor_01",))
    raw = open_dataset("ibims", tmp_path / "i").record(0)
    for kind in ("tar", "zip"):
        packed = pack(tmp_path / "i", kind, prefix="./" if kind == "tar" else "")
        assert same(open_dataset("ibims", packed).record(0), raw)
    write_ibims_mat(tmp_path / "m")
    mat = open_dataset("ibims", tmp_path / "m").record(0)
    assert same(mat, raw)
    np.testing.assert_array_equal(mat.edges_HW, raw.edges_HW)
    assert [plane.offset for plane in mat.planes] == pytest.approx([p.offset for p in raw.planes])


@pytest.mark.parametrize(
    ("change", "finding"),
    [
        ({"calib": np.ones((2, 2))}, "calib is [2, 2], not 3x3"),
        ({"rgb": photo()[:4]}, "depth is [6, 8], its photo [4, 8]"),
        ({"mask_wall_paras": np.zeros((0, 0))}, "mask_wall has plane 2, its file 0 rows"),
    ],
)
def test_damaged_structs_are_named(tmp_path, change, finding):
    write_ibims_mat(tmp_path, change=change)
    with pytest.raises(DataError) as error:
        open_dataset("ibims", tmp_path).record(0)
    assert f"corridor_01.mat: {finding}" in str(error.value)


def test_own_lists_choose_images(tmp_path):
    write_ibims(tmp_path)
    (tmp_path / "own.txt").write_text("corridor_01\n")
    assert open_dataset("ibims", tmp_path, list_file="own.txt").sample_ids == ("ibims/corridor_01",)


@pytest.mark.parametrize(
    ("path", "content", "finding"),
    [
        ("depth/a.png", np.ones((H, W), np.uint8), "depth/a.png: holds uint8"),
        ("depth/a.png", np.ones((H, W + 1), np.uint16), "depth/a.png: depth is"),
        ("mask_transp/a.png", None, "mask_transp/a.png: no such file"),
        ("mask_transp/a.png", b"\x89PNG\r\n\x1a\n cut", "mask_transp/a.png: is"),
        ("edges/a.png", np.ones((H - 1, W), np.uint8), "edges/a.png: is [5, 8]"),
        ("calib/a.txt", b"550.0,551.0,4.0", "calib/a.txt: has 3 numbers, not 4"),
        ("mask_wall/a.txt", b"1,2,3,4\n", "mask_wall/a.txt: has 4 numbers"),
        ("mask_wall/a.txt", b"0,0,0,0,0,-1,0\n", "mask_wall has plane 2, its file 1 rows"),
        ("mask_wall/a.txt", b"0,0,0,0,0,0,0\n" * 2, "mask_wall/a.txt: a plane has no normal"),
    ],
)
def test_broken_files_are_named(tmp_path, path, content, finding):
    write_ibims(tmp_path, names=("a",))
    place = tmp_path / "ibims1_core_raw" / path
    if content is None:
        place.unlink()
    else:
        save(place, content) if isinstance(content, np.ndarray) else write(place, content)
    with pytest.raises(DataError) as error:
        open_dataset("ibims", tmp_path).record(0)
    assert finding in str(error.value)


def test_wrong_lists_and_folders_are_named(tmp_path):
    write_ibims(tmp_path)
    write(tmp_path / "ibims1_core_raw/imagelist.txt", "corridor_01\nattic_09\n")
    with pytest.raises(DataError, match=r"imagelist\.txt:2: .*attic_09\.png is not there"):
        open_dataset("ibims", tmp_path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=r"no ibims1_core_raw/imagelist\.txt"):
        open_dataset("ibims", tmp_path / "empty")
    write(tmp_path / "m/ibims1_core_mat/x.mat", b"MATLAB 5.0 MAT-file, cut")
    with pytest.raises(DataError, match=r"x\.mat: is not an iBims struct"):
        open_dataset("ibims", tmp_path / "m").record(0)
