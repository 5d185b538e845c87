import numpy as np
import pytest
import trimesh

from nearfar.errors import InputError
from nearfar.geometry.camera import intrinsics_from_fov
from nearfar.geometry.meshes import depth_mesh
from nearfar.io.scene.glb import write_glb


def mesh_and_image(shape=(12, 16)):
    depth = np.linspace(2, 3, shape[0] * shape[1], dtype=np.float32).reshape(shape)
    image = np.zeros((*shape, 3), np.uint8)
    image[: shape[0] // 2] = (255, 0, 0)
    image[shape[0] // 2 :] = (0, 0, 255)
    camera = intrinsics_from_fov(60.0, shape)
    usable = np.ones(shape, bool)
    return depth_mesh(depth, camera, usable_HW=usable, image_HW3=image, relative=0.5), image


def only(path):
    return next(iter(trimesh.load(path, process=False).geometry.values()))


def test_gltf_axes_and_texture_the_right_way_up(tmp_path):
    mesh, image = mesh_and_image()
    write_glb(mesh, tmp_path / "a.glb", image_HW3=image)
    read = only(tmp_path / "a.glb")
    np.testing.assert_allclose(read.vertices, mesh.vertices_P3 * [1, -1, -1], rtol=1e-6)
    assert np.array_equal(read.faces, mesh.triangles)
    colors = read.visual.to_color().vertex_colors
    upper = read.vertices[:, 1] > 0.3
    lower = read.vertices[:, 1] < -0.3
    assert upper.any() and (colors[upper, 0] > 200).all() and (colors[upper, 2] < 60).all()
    assert lower.any() and (colors[lower, 2] > 200).all() and (colors[lower, 0] < 60).all()


def test_vertex_colors_without_texture(tmp_path):
    mesh, _ = mesh_and_image()
    write_glb(mesh, tmp_path / "a.glb")
    colors = only(tmp_path / "a.glb").visual.vertex_colors[:, :3]
    np.testing.assert_array_equal(colors, mesh.colors_P3)


def test_no_surface(tmp_path):
    mesh, _ = mesh_and_image((1, 4))
    with pytest.raises(InputError, match="no surface"):
        write_glb(mesh, tmp_path / "a.glb")
    assert not list(tmp_path.iterdir())
