from pathlib import Path

import numpy as np
import pytest

from nearfar.errors import DataError
from nearfar.eval.metrics.points import align_points, fov_error_deg, point_scores
from nearfar.geometry.robust_fits import POINT_MODES

GOLDEN = dict(np.load(Path(__file__).parents[2] / "golden" / "eval" / "moge_metrics.npz"))
POINTS, TRUTH, VALID = GOLDEN["points.in.points_metric"], GOLDEN["gt.points"], GOLDEN["gt.mask"]


@pytest.mark.parametrize(
    ("mode", "group"),
    [("scale", "scale_invariant"), ("scale_xyz", "affine_invariant"), ("shift_xyz", "metric")],
)
def test_point_scores_are_moges(mode, group):
    aligned = align_points(POINTS, TRUTH, VALID, mode=mode)
    scores = point_scores(aligned.points_HW3, TRUTH, VALID)
    assert scores.rel == pytest.approx(GOLDEN[f"points.out.points_{group}.rel"][0], rel=1e-5)
    wanted = GOLDEN[f"points.out.points_{group}.delta1"][0]
    assert scores.delta1 == pytest.approx(wanted, abs=1e-6)


def test_field_of_view_error_is_moges():
    pixels = np.array([[64.0], [48], [1]])
    prediction, truth = GOLDEN["points.in.intrinsics"] * pixels, GOLDEN["gt.intrinsics"] * pixels
    error = fov_error_deg(prediction, truth, (48, 64))
    assert error == pytest.approx(GOLDEN["points.out.fov_x.mae"][0], rel=1e-5)
    assert fov_error_deg(truth, truth, (48, 64)) == 0


@pytest.mark.parametrize("mode", POINT_MODES)
def test_alignment_undoes_what_its_mode_may_change(mode):
    scale = 1 / 1.7 if mode.startswith("scale") else 1.0
    moved = [axis in POINT_MODES[mode] for axis in "xyz"]
    shift = np.where(moved, [0.3, -0.2, 0.5], 0)
    aligned = align_points((TRUTH - shift) * scale, TRUTH, VALID, mode=mode)
    scores = point_scores(aligned.points_HW3, TRUTH, VALID)
    assert scores.rel < 1e-5 and scores.delta1 == 1
    np.testing.assert_allclose(aligned.shift_3, shift, atol=1e-5)


def test_delta1_by_hand():
    truth = np.array([[[0.0, 0, 4], [0, 0, 4], [0, 0, 4]]])
    points = truth + np.array([[[0.9, 0, 0], [0, 0, -0.9], [1.1, 0, 0]]])
    scores = point_scores(points, truth, np.ones((1, 3), bool))
    assert scores.delta1 == pytest.approx(1 / 3)  # 0.9 > .25 * 3.1
    assert scores.rel == pytest.approx((0.9 + 0.9 + 1.1) / 3 / 4, rel=1e-6)


def test_unusable_points_are_refused():
    for points, valid in ((POINTS * np.nan, VALID), (POINTS, ~VALID & False), (POINTS[1:], VALID)):
        with pytest.raises(DataError):
            point_scores(points, TRUTH, valid)
