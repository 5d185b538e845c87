import numpy as np
import pytest

from nearfar.geometry.neighbors import mean_neighbor_distance


def brute(points, neighbors):
    difference = points[:, None].astype(np.float64) - points[None]
    distance = np.sqrt((difference**2).sum(axis=2))
    np.fill_diagonal(distance, np.inf)
    return np.sort(distance, axis=1)[:, :neighbors].mean(axis=1)


def clouds():
    rng = np.random.default_rng(0)
    sheet = rng.random((1500, 3)) * [4, 4, 0.01]
    yield "ball", rng.normal(size=(1237, 3))
    yield "sheet with far strays", np.concatenate([sheet, rng.normal(size=(15, 3)) * 30])
    yield "line", np.linspace(0, 1, 700)[:, None] * [[1.0, 0, 0]]
    yield "far from the origin", rng.normal(size=(900, 3)) * 0.5 + 100
    yield (
        "clusters",
        (rng.normal(size=(5, 1, 3)) * 20 + rng.normal(size=(5, 201, 3))).reshape(-1, 3),
    )


@pytest.mark.parametrize(("name", "points"), list(clouds()), ids=lambda v: v if v is str else "")
@pytest.mark.parametrize("neighbors", [1, 20])
def test_exact_against_brute_force(name, points, neighbors):
    points = points.astype(np.float32)
    got = mean_neighbor_distance(points, neighbors=neighbors)
    np.testing.assert_allclose(got, brute(points, neighbors), rtol=2e-5, err_msg=name)


def test_order_of_points_does_not_matter():
    rng = np.random.default_rng(1)
    points = rng.normal(size=(1000, 3)).astype(np.float32)
    order = rng.permutation(1000)
    a = mean_neighbor_distance(points, neighbors=8)
    b = mean_neighbor_distance(points[order], neighbors=8)
    np.testing.assert_allclose(a[order], b, rtol=1e-6)


def test_equal_points_and_small_clouds():
    assert (mean_neighbor_distance(np.ones((500, 3), np.float32), neighbors=20) == 0).all()
    assert mean_neighbor_distance(np.zeros((0, 3), np.float32), neighbors=20).shape == (0,)
    assert mean_neighbor_distance(np.zeros((1, 3), np.float32), neighbors=20).tolist() == [0]
    pair = np.array([[0, 0, 0], [0, 3, 4]], np.float32)
    assert mean_neighbor_distance(pair, neighbors=20).tolist() == [5, 5]
