"""DepthResult: what it refuses, how it is read, and how a map becomes metres."""

import subprocess
import sys
from dataclasses import FrozenInstanceError

import numpy as np
import pytest

from sonde.errors import ConfigError, MetricError, SondeError
from sonde.result import DepthKind, DepthResult

CAMERA = np.array([[4.0, 0, 2], [0, 4.0, 1.5], [0, 0, 1]])


def make(kind="metric", **fields):
    depth = np.array([[1, 2, 3, 4], [2, 4, 6, 8], [1, 1, 2, np.nan]], dtype=np.float32)
    return DepthResult(
        **{"depth": depth, "kind": kind, "valid": np.isfinite(depth), "intrinsics": CAMERA} | fields
    )


def test_attribute_and_item_access_agree():
    result = make(model="m", seed=7)
    assert result["depth"] is result.depth
    assert result["seed"] == 7
    assert "kind" in result.keys()  # noqa: SIM118
    assert dict(**result)["model"] == "m"
    with pytest.raises(KeyError, match="points"):
        result["points"]


def test_kind_may_be_given_as_text():
    assert make("affine_depth").kind is DepthKind.AFFINE_DEPTH
    assert make().is_metric
    assert make().size_hw == (3, 4)
    with pytest.raises(ValueError, match="disparity"):
        make("disparity")


def test_result_cannot_be_changed():
    with pytest.raises(FrozenInstanceError):
        make().seed = 3


@pytest.mark.parametrize(
    ("fields", "finding"),
    [
        ({"depth": np.zeros((3, 4))}, "float64"),
        ({"depth": np.zeros((1, 3, 4), np.float32)}, r"\[1, 3, 4\]"),
        ({"valid": np.ones((3, 5), bool)}, "valid"),
        ({"sky": np.ones((4, 3), bool)}, "sky"),
        ({"uncertainty": np.ones((2, 2), np.float32)}, "uncertainty"),
        ({"intrinsics": np.eye(4)}, "intrinsics"),
    ],
)
def test_impossible_fields_are_refused(fields, finding):
    with pytest.raises(ConfigError, match=finding):
        make(**fields)


def test_points_are_metres_of_the_valid_pixels():
    result = make()
    points_P3 = result.points()
    assert points_P3.shape == (11, 3)
    np.testing.assert_allclose(points_P3[:, 2], result.depth[result.valid])
    np.testing.assert_allclose(points_P3[0], [(0.5 - 2) / 4, (0.5 - 1.5) / 4, 1], rtol=1e-6)


def test_points_need_metres_and_a_camera():
    with pytest.raises(MetricError, match="affine_log_depth"):
        make("affine_log_depth").points()
    with pytest.raises(MetricError, match="camera"):
        make(intrinsics=None).points()


@pytest.mark.parametrize(
    ("kind", "scale", "shift", "metres"),
    [
        ("metric", 1.0, 0.0, lambda d: d),
        ("scale_invariant", 2.5, 0.0, lambda d: 2.5 * d),
        ("affine_depth", 2.0, 0.5, lambda d: 2 * d + 0.5),
        ("affine_log_depth", 0.5, 0.25, lambda d: np.expm1(0.5 * d + 0.25)),
    ],
)
def test_to_metric_recovers_scale_and_shift_of_each_kind(kind, scale, shift, metres):
    result = make(kind)
    truth = metres(result.depth.astype(np.float64)).astype(np.float32)
    given = result.to_metric(scale=scale, shift=shift)
    fitted = result.to_metric(np.nan_to_num(truth))
    for metric in (given, fitted):
        assert metric.kind is DepthKind.METRIC
        np.testing.assert_allclose(metric.depth[metric.valid], truth[result.valid], rtol=1e-4)
    assert given.metric_reference == "scale and shift"
    assert fitted.metric_reference == "reference"


def test_to_metric_ignores_unknown_and_masked_reference_pixels():
    result = make("affine_depth")
    reference = 2 * result.depth + 1
    reference[0, 0], reference[0, 1], reference[1, 3] = 0, np.nan, 1000
    trusted = np.ones((3, 4), bool)
    trusted[1, 3] = False
    metric = result.to_metric(reference, valid=trusted)
    np.testing.assert_allclose(metric.depth[1, 3], 17, rtol=1e-4)


def test_depth_that_comes_out_behind_the_camera_is_invalid():
    metric = make("affine_depth").to_metric(scale=1, shift=-1.5)
    assert not metric.valid[0, 0]
    assert metric.valid[0, 1]


def test_uncertainty_is_carried_to_metres():
    spread = np.full((3, 4), 0.1, np.float32)
    linear = make("affine_depth", uncertainty=spread).to_metric(scale=3, shift=1)
    np.testing.assert_allclose(linear.uncertainty, 0.3, rtol=1e-5)
    logs = make("affine_log_depth", uncertainty=spread).to_metric(scale=0.5, shift=0.2)
    expected = 0.1 * 0.5 * (logs.depth + 1)
    np.testing.assert_allclose(logs.uncertainty[logs.valid], expected[logs.valid], rtol=1e-5)


def test_save_and_visualise_reach_their_rooms(tmp_path):
    files = make(image=np.zeros((3, 4, 3), np.uint8)).save(tmp_path, ["png16", "vis"], stem="photo")
    assert sorted(file.name for file in files) == ["photo_depth.png", "photo_vis.png"]
    assert all(file.exists() for file in files)
    picture = make().visualise()
    assert picture.shape == (3, 4, 3)
    assert picture.dtype == np.uint8
    assert picture[2, 3].tolist() == [0, 0, 0]
    with pytest.raises(SondeError, match="tiff"):
        make().save(tmp_path, ["tiff"])


def test_holding_and_saving_a_result_needs_no_torch(tmp_path):
    code = (
        "import sys, numpy as np; from sonde.result import DepthResult\n"
        "r = DepthResult(depth=np.ones((2, 2), np.float32), kind='metric',"
        " valid=np.ones((2, 2), bool))\n"
        f"r.save({str(tmp_path)!r}, ['png16', 'npz', 'vis']); print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == "False", done.stderr
