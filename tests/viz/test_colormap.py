import matplotlib
import numpy as np
import pytest

from nearfar.errors import ConfigError
from nearfar.result import DepthKind, DepthResult
from nearfar.viz.colormap import (
    COLORMAPS,
    apply_colormap,
    color_depth,
    color_range,
    range_of_depths,
)


def result_of(depth, kind="metric", **fields):
    depth = np.asarray(depth, np.float32)
    return DepthResult(depth=depth, kind=DepthKind(kind), valid=np.isfinite(depth), **fields)


def warmth(color):
    return int(color[..., 0].sum()) - int(color[..., 2].sum())


@pytest.mark.parametrize("name", COLORMAPS)
def test_tables_are_matplotlibs(name):
    source = matplotlib.colormaps["Spectral" if name == "spectral" else name]
    x = np.arange(256) / 255
    expected = source(np.arange(256), bytes=True)[:, :3]
    assert np.array_equal(apply_colormap(x, name), expected)
    assert np.array_equal(apply_colormap(np.array([-3, np.nan, 7.0]), name), expected[[0, 0, 255]])


@pytest.mark.parametrize("kind", list(DepthKind))
def test_near_is_warm_and_far_is_cold(kind):
    ramp = np.linspace(1, 9, 60).reshape(6, 10)
    picture = color_depth(result_of(ramp, kind))
    assert picture.shape == (6, 10, 3) and picture.dtype == np.uint8
    assert warmth(picture[0, 0]) > 80 and warmth(picture[-1, -1]) < -50
    for name in ("inferno", "gray", "magma", "viridis"):
        picture = color_depth(result_of(ramp, kind), name).astype(int)
        assert picture[0, 0].sum() > picture[-1, -1].sum() + 200
    assert np.array_equal(color_depth(result_of(ramp, kind), "gray")[0, 0], [255] * 3)


def test_invalid_is_black_and_sky_is_far():
    depth = np.tile(np.linspace(1, 9, 10, dtype=np.float32), (4, 1))
    depth[0] = np.nan
    sky = np.zeros(depth.shape, bool)
    sky[0, :5] = True
    picture = color_depth(result_of(depth, sky=sky))
    assert (picture[0, 5:] == 0).all()
    assert (picture[0, :5] == picture[1, -1]).all() and picture[1, -1].any()


def test_percentiles_withstand_strays():
    depth = np.tile(np.linspace(1, 2, 100, dtype=np.float32), (10, 1))
    plain = color_depth(result_of(depth)).astype(int)
    depth[0, 0] = 1e6
    assert np.abs(color_depth(result_of(depth)).astype(int) - plain)[1:].max() <= 12


def test_shared_range_gives_equal_depths_equal_colors():
    near, far = result_of([[1.0, 2, 3, 4]]), result_of([[3.0, 4, 9, 12]])
    limits = color_range(near, far)
    a, b = color_depth(near, limits=limits), color_depth(far, limits=limits)
    assert np.array_equal(a[0, 2:], b[0, :2]) and not np.array_equal(a, b)


@pytest.mark.parametrize("kind", list(DepthKind))
@pytest.mark.parametrize("depth", [[[3.0, 3.0]], [[np.nan, np.nan]], [[0.0, -1.0]], [[5.0]]])
def test_degenerate_maps_have_a_picture(kind, depth):
    assert color_depth(result_of(depth, kind)).shape == (1, len(depth[0]), 3)


def test_scale_of_a_metric_map_does_not_change_its_picture():
    depth = np.random.default_rng(0).uniform(1, 9, (8, 8))
    a, b = color_depth(result_of(depth)), color_depth(result_of(depth * 100))
    assert np.abs(a.astype(int) - b).max() <= 4


def test_unknown_name():
    with pytest.raises(ConfigError, match=r"jet.*spectral"):
        result_of([[1.0]]).visualise("jet")


def test_a_range_of_depths_is_painted_in_the_space_of_the_kind():
    depth = [[0.5, 2.0, 8.0]]
    for kind, own in (("metric", (0.5, 8.0)), ("affine_log_depth", (0.5, 8.0))):
        result = result_of(depth, kind)
        ends = color_depth(result, limits=range_of_depths(result.kind, *own))
        assert np.array_equal(ends[0, 0], apply_colormap(np.zeros(1), "spectral")[0])
        assert np.array_equal(ends[0, 2], apply_colormap(np.ones(1), "spectral")[0])
    # metres by their logarithm: 2 m lies half-way between 0.5 and 8
    metric = color_depth(result_of(depth), limits=range_of_depths(DepthKind.METRIC, 0.5, 8.0))
    assert np.array_equal(metric[0, 1], apply_colormap(np.full(1, 0.5), "spectral")[0])
    assert range_of_depths(DepthKind.METRIC, -1.0, 8.0).near < 0  # a millimetre, not an error
