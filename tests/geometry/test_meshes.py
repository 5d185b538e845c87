import numpy as np

from nearfar.geometry.camera import intrinsics_from_fov
from nearfar.geometry.meshes import depth_mesh


def mesh_of(depth, usable=None, **options):
    usable = np.ones(depth.shape, bool) if usable is None else usable
    camera = intrinsics_from_fov(60.0, depth.shape)
    return depth_mesh(depth, camera, usable_HW=usable, **options)


def test_plane_has_two_triangles_a_square_facing_the_camera():
    mesh = mesh_of(np.full((5, 7), 2.0, np.float32))
    assert mesh.vertices_P3.shape == (35, 3) and mesh.triangles.shape == (48, 3)
    a, b, c = (mesh.vertices_P3[mesh.triangles[:, i]] for i in range(3))
    normal = np.cross(b - a, c - a)
    assert (normal[:, 2] < 0).all()
    corner = mesh.vertices_P3[[0, 6, 28, 34], :2]
    pixel = np.abs(np.diff(mesh.vertices_P3[:2, 0]))[0] ** 2
    area = 0.5 * np.linalg.norm(normal, axis=1).sum()
    assert np.isclose(area, 24 * pixel, rtol=1e-4) and np.isfinite(corner).all()


def test_no_triangle_spans_an_edge_or_a_hole():
    depth = np.full((6, 8), 2.0, np.float32)
    depth[:, 4:] = 3.0
    usable = np.ones((6, 8), bool)
    usable[0, 0] = False
    depth[5, 7] = np.nan
    mesh = mesh_of(depth, usable)
    z = mesh.vertices_P3[mesh.triangles][..., 2]
    assert (z.max(axis=1) == z.min(axis=1)).all()
    assert mesh.triangles.max() == len(mesh.vertices_P3) - 1
    assert len(np.unique(mesh.triangles)) == len(mesh.vertices_P3) == 46
    assert len(mesh_of(depth, usable, relative=0.6).triangles) > len(mesh.triangles)


def test_texture_places_and_colors_belong_to_the_pixels():
    rng = np.random.default_rng(0)
    image = rng.integers(0, 255, (4, 6, 3), dtype=np.uint8)
    mesh = mesh_of(np.ones((4, 6), np.float32), image_HW3=image)
    u, v = (mesh.uv_P2 * [6, 4]).astype(int).T
    assert np.array_equal(image[v, u], mesh.colors_P3)
    np.testing.assert_allclose(mesh.uv_P2[0], [0.5 / 6, 0.5 / 4], rtol=1e-6)


def test_large_maps_are_thinned():
    mesh = mesh_of(np.ones((40, 60), np.float32), max_vertices=700)
    assert len(mesh.vertices_P3) == 600


def test_nothing_usable_gives_an_empty_mesh():
    mesh = mesh_of(np.ones((4, 4), np.float32), np.zeros((4, 4), bool))
    assert mesh.triangles.shape == (0, 3) and mesh.vertices_P3.shape == (0, 3)
