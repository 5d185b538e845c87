import time
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from nearfar.errors import ConfigError
from nearfar.geometry.camera import intrinsics_from_fov
from nearfar.geometry.clouds import (
    CloudOptions,
    backproject,
    even_stride,
    organized_inliers,
    point_cloud,
    statistical_outliers,
)

GOLDEN = Path(__file__).parents[1] / "golden" / "ppd" / "eval_align.safetensors"


def wavy(height, width):
    v, u = np.mgrid[0:height, 0:width]
    return (3 + np.sin(u * 7 / width) + 0.4 * np.cos(v * 9 / height)).astype(np.float32)


def test_backproject_replays_the_official_points():
    """The release counts pixels from 0 at their centers; ours lie half a pixel further."""
    golden = load_file(GOLDEN)
    intrinsics_33 = golden["pcd.K"].copy()
    intrinsics_33[:2, 2] += 0.5
    points = backproject(golden["gt"], intrinsics_33)[golden["mask"]]
    np.testing.assert_allclose(points, golden["pcd.points"], atol=1e-5)


def test_projection_returns_to_pixel_centers():
    depth = wavy(12, 16)
    intrinsics_33 = intrinsics_from_fov(70.0, (12, 16))
    points = backproject(depth, intrinsics_33).astype(np.float64) @ intrinsics_33.T
    pixel = points[..., :2] / points[..., 2:]
    v, u = np.mgrid[0:12, 0:16] + 0.5
    np.testing.assert_allclose(pixel[..., 0], u, atol=1e-4)
    np.testing.assert_allclose(pixel[..., 1], v, atol=1e-4)
    assert points[..., 2] == pytest.approx(depth)


def test_invalid_stays_nan():
    depth = np.array([[np.nan, 2.0]], np.float32)
    points = backproject(depth, intrinsics_from_fov(60.0, (1, 2)))
    assert np.isnan(points[0, 0]).all() and np.isfinite(points[0, 1]).all()


def test_cloud_drops_unusable_edges_and_strays():
    depth = wavy(60, 80)
    depth[:, 40:] *= 2
    depth[10:12, 10:12] = 0.3  # a small clump in the air
    usable = np.ones((60, 80), bool)
    usable[50:] = False
    image = np.random.default_rng(0).integers(0, 255, (60, 80, 3), dtype=np.uint8)
    camera = intrinsics_from_fov(60.0, (60, 80))

    def cloud(**options):
        return point_cloud(
            depth, camera, usable_HW=usable, image_HW3=image, options=CloudOptions(**options)
        )

    everything = cloud(edge_filter=False, outlier_filter=False)
    assert len(everything.points_P3) == usable.sum()
    assert np.array_equal(everything.colors_P3, image[usable])
    no_edges = cloud(outlier_filter=False)
    assert len(no_edges.points_P3) < len(everything.points_P3) - 90
    no_strays = cloud(edge_filter=False)
    assert no_strays.points_P3[:, 2].min() > 1 > everything.points_P3[:, 2].min()
    both = cloud()
    assert len(both.points_P3) == len(both.colors_P3) <= len(no_edges.points_P3)


def test_large_maps_are_thinned():
    assert even_stride(1000, None) == even_stride(1000, 1000) == 1
    assert even_stride(4000, 1000) == 2
    depth = wavy(40, 60)
    cloud = point_cloud(
        depth,
        intrinsics_from_fov(60.0, (40, 60)),
        usable_HW=np.ones((40, 60), bool),
        options=CloudOptions(max_points=700, outlier_filter=False, edge_filter=False),
    )
    assert len(cloud.points_P3) == 600 and cloud.colors_P3 is None
    assert np.isin(cloud.points_P3[:, 2], depth[::2, ::2]).all()


def test_exact_outliers_against_the_definition():
    rng = np.random.default_rng(0)
    points = (rng.random((800, 3)) * [2, 2, 0.05]).astype(np.float32)
    points[::100, 2] += rng.uniform(1, 2, 8).astype(np.float32)
    distance = np.sqrt(((points[:, None] - points[None]) ** 2).sum(axis=2))
    np.fill_diagonal(distance, np.inf)
    mean = np.sort(distance, axis=1)[:, :20].mean(axis=1)
    expected = mean < mean.mean() + 3 * mean.std(ddof=1)
    keep = statistical_outliers(points)
    assert np.array_equal(keep, expected)
    assert not keep[::100].any() and keep.sum() > 750


def test_organized_agrees_with_exact_on_a_surface():
    depth = wavy(60, 80)
    rng = np.random.default_rng(0)
    stray = rng.choice(depth.size, 30, replace=False)
    depth.ravel()[stray] *= 0.5
    points = backproject(depth, intrinsics_from_fov(60.0, (60, 80)))
    organized = organized_inliers(points, np.ones((60, 80), bool)).ravel()
    exact = statistical_outliers(points.reshape(-1, 3))
    assert not organized[stray].any() and not exact[stray].any()
    assert (organized == exact).mean() > 0.98


def test_organized_ignores_unusable_and_isolated():
    points = backproject(wavy(20, 20), intrinsics_from_fov(60.0, (20, 20)))
    usable = np.ones((20, 20), bool)
    usable[5:15, 5:15] = False
    usable[10, 10] = True
    keep = organized_inliers(points, usable)
    assert not keep[~usable].any() and not keep[10, 10]
    assert keep.sum() > 0.95 * 300
    assert not organized_inliers(points, np.zeros((20, 20), bool)).any()


def test_outlier_filter_of_a_vga_map_is_fast():
    points = backproject(wavy(480, 640), intrinsics_from_fov(60.0, (480, 640)))
    start = time.process_time()
    organized_inliers(points, np.ones((480, 640), bool))
    assert time.process_time() - start < 3


@pytest.mark.parametrize(
    "wrong", [{"relative": 0.0}, {"neighbors": 0}, {"ratio": -1.0}, {"max_points": 0}]
)
def test_options_are_checked(wrong):
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        CloudOptions(**wrong)
