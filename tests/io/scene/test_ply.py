import numpy as np
import pytest
import trimesh

from nearfar.geometry.clouds import PointCloud
from nearfar.io.scene.ply import write_ply


def cloud(colors=True):
    rng = np.random.default_rng(0)
    points = rng.normal(size=(50, 3)).astype(np.float32)
    return PointCloud(points, rng.integers(0, 256, (50, 3), dtype=np.uint8) if colors else None)


@pytest.mark.parametrize("axes", ["opencv", "opengl"])
def test_another_reader_finds_the_same_points(tmp_path, axes):
    write_ply(cloud(), tmp_path / "a.ply", axes=axes)
    read = trimesh.load(tmp_path / "a.ply")
    signs = [1, 1, 1] if axes == "opencv" else [1, -1, -1]
    np.testing.assert_array_equal(read.vertices, cloud().points_P3 * signs)
    np.testing.assert_array_equal(read.colors[:, :3], cloud().colors_P3)


def test_header_names_axes_and_unit(tmp_path):
    write_ply(cloud(), tmp_path / "a.ply")
    header = (tmp_path / "a.ply").read_bytes().split(b"end_header")[0].decode()
    assert "comment axes opencv: x right, y down, z forward" in header
    assert "comment unit metre" in header and "binary_little_endian" in header


def test_without_colors_and_without_points(tmp_path):
    write_ply(cloud(colors=False), tmp_path / "a.ply")
    np.testing.assert_array_equal(trimesh.load(tmp_path / "a.ply").vertices, cloud().points_P3)
    write_ply(PointCloud(np.zeros((0, 3), np.float32), None), tmp_path / "b.ply")
    assert b"element vertex 0" in (tmp_path / "b.ply").read_bytes()
