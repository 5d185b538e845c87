import numpy as np
import pytest

from nearfar.errors import ConfigError, MetricError
from nearfar.geometry.camera import intrinsics_from_fov
from nearfar.result import DepthKind, DepthResult


def result_of(kind="metric", *, depth=None, **fields):
    if depth is None:
        depth = np.random.default_rng(0).uniform(1, 5, (6, 8))
    depth = np.asarray(depth, np.float32)
    fields.setdefault("valid", np.ones(depth.shape, bool))
    return DepthResult(depth=depth, kind=kind, **fields)


def test_depth_and_valid_are_made_to_agree():
    depth = np.array([[1, 2, np.nan, np.inf]], np.float32)
    given = depth.copy()
    result = DepthResult(depth=given, kind="metric", valid=np.array([[True, False, True, True]]))
    assert result.valid.tolist() == [[True, False, False, False]]
    assert np.isnan(result.depth[0, 1:]).all() and result.depth[0, 0] == 1
    assert np.array_equal(given, depth, equal_nan=True), "the caller's array is left alone"


def test_attribute_and_item_access():
    result = result_of("affine_depth", model="m")
    assert result.kind is DepthKind.AFFINE_DEPTH and result["model"] == result.model == "m"
    assert set(result.keys()) >= {"depth", "kind", "valid", "sky", "seconds", "image"}
    assert dict(result)["depth"] is result.depth
    with pytest.raises(KeyError, match="dept"):
        result["dept"]
    with pytest.raises(KeyError):
        result["save"]


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"depth": np.ones((2, 3))}, "depth"),
        ({"depth": np.ones((2, 3, 1), np.float32)}, "depth"),
        ({"valid": np.ones((3, 2), bool)}, "valid"),
        ({"sky": np.ones((3, 2), bool)}, "sky"),
        ({"uncertainty": np.ones((3, 2), np.float32)}, "uncertainty"),
        ({"intrinsics": np.ones((3, 4))}, "intrinsics"),
        ({"image": np.ones((2, 2, 3), np.uint8)}, "image"),
    ],
)
def test_shapes_are_checked(fields, named):
    right = {"depth": np.ones((2, 3), np.float32), "valid": np.ones((2, 3), bool)}
    with pytest.raises(ConfigError, match=named):
        DepthResult(kind="metric", **{**right, **fields})


def test_unknown_kind():
    with pytest.raises(ConfigError, match=r"disparity.*metric"):
        result_of("disparity")


def test_repr_is_one_screen_and_holds_no_arrays():
    image = np.zeros((600, 800, 3), np.uint8)
    depth = np.full((600, 800), 2.0)
    depth[0] = 5.0
    shown = repr(result_of(depth=depth, image=image, model="m", seed=0, fov_x_deg=60.0))
    assert shown == (
        "<DepthResult 600x800 metric: 2 to 5 m, 100 % valid\n"
        "  arrays: depth, valid, image\n"
        "  model m, fov_x_deg 60, seed 0>"
    )
    nothing = result_of("affine_depth", valid=np.zeros((6, 8), bool))
    assert "affine_depth: nothing valid, 0 % valid" in repr(nothing)


def test_points_are_the_valid_pixels_in_metres():
    camera = intrinsics_from_fov(90.0, (6, 8))
    valid = np.ones((6, 8), bool)
    valid[0] = False
    result = result_of(depth=np.full((6, 8), 2.0), valid=valid, intrinsics=camera)
    points = result.points()
    assert points.shape == (40, 3) and (points[:, 2] == 2).all()
    np.testing.assert_allclose(points[0], [-1.75, -0.75, 2], rtol=1e-6)


def test_points_need_metres_and_a_camera():
    camera = intrinsics_from_fov(90.0, (6, 8))
    with pytest.raises(MetricError, match="affine_log_depth"):
        result_of("affine_log_depth", intrinsics=camera).points()
    with pytest.raises(MetricError, match="camera"):
        result_of().points()


@pytest.mark.parametrize("kind", list(DepthKind))
def test_to_metric_finds_the_scale_of_a_reference(kind):
    metres = np.random.default_rng(0).uniform(1, 9, (6, 8)).astype(np.float32)
    shift = 0.2 if kind.startswith("affine") else 0.0
    target = np.log1p(metres) if kind is DepthKind.AFFINE_LOG_DEPTH else metres
    sensor = metres.copy()
    sensor[::2] = 0
    sensor[1, :4] = np.nan
    sensor[3] = 100  # wrong, and said to be
    trusted = np.ones((6, 8), bool)
    trusted[3] = False
    result = result_of(kind, depth=(target - shift) / 1.5).to_metric(sensor, valid=trusted)
    assert result.is_metric and result.metric_reference == "reference"
    np.testing.assert_allclose(result.depth, metres, rtol=1e-4)


def test_to_metric_by_given_numbers_and_uncertainty():
    depth = np.array([[0.0, 1.0, -2.0]], np.float32)
    sigma = np.full((1, 3), 0.01, np.float32)
    result = result_of("affine_log_depth", depth=depth, uncertainty=sigma)
    metric = result.to_metric(scale=0.5, shift=0.3)
    expected = np.exp(0.5 * depth + 0.3) - 1
    np.testing.assert_allclose(metric.depth[0, :2], expected[0, :2], rtol=1e-6)
    assert metric.valid.tolist() == [[True, True, False]] and np.isnan(metric.depth[0, 2])
    # first order: d metres = s (metres + 1) d depth
    nearby = np.exp(0.5 * (depth + 0.01) + 0.3) - 1
    np.testing.assert_allclose(metric.uncertainty[0, :2], (nearby - expected)[0, :2], rtol=0.01)


def test_pictures():
    image = np.full((6, 8, 3), 7, np.uint8)
    with_photo = result_of(image=image).beside_photo()
    assert with_photo.shape[0] == 6 and with_photo.shape[1] > 16
    assert np.array_equal(with_photo[:, :8], image)
    assert np.array_equal(with_photo[:, -8:], result_of().visualise())
    assert result_of().beside_photo().shape == (6, 8, 3)


def test_save_writes_what_was_asked(tmp_path):
    files = result_of().save(tmp_path / "new", stem="x")
    assert [f.name for f in files] == ["x_depth.png", "x_vis.png"]
    assert all(f.is_file() for f in files)


def test_pictures_of_a_series_keep_their_colors():
    near, far = (
        result_of(depth=np.full((2, 3), d), image=np.zeros((2, 3, 3), np.uint8)) for d in (1, 4)
    )
    assert np.array_equal(near.visualise(), far.visualise())  # each has its own range
    a, b = near.visualise(limits=(1, 4)), far.visualise(limits=(1, 4))
    assert a[0, 0, 0] > a[0, 0, 2] and b[0, 0, 0] < b[0, 0, 2]  # near is warm, far is cold
    assert np.array_equal(far.beside_photo(limits=(1, 4))[:, -3:], b)


@pytest.mark.parametrize("given", [{"scale": float("nan")}, {"shift": float("inf")}])
def test_metres_by_numbers_that_are_none_are_refused(given):
    depth = np.ones((2, 3), np.float32)
    result = DepthResult(depth=depth, valid=depth > 0, kind="affine_depth")
    with pytest.raises(ConfigError, match="not finite"):
        result.to_metric(**given)
