"""AbsRel, delta1 and the log alignment against values worked out by hand."""

import numpy as np
import pytest

from sonde.errors import DataError
from sonde.eval.metrics import (
    abs_rel,
    align_log1p,
    aligned_scores,
    as_log_depth,
    delta1,
    flat_map,
    row_ramp,
)
from sonde.result import DepthKind

TRUTH = np.array([[1.0, 2.0], [4.0, 8.0]])
ALL = np.ones((2, 2), dtype=bool)


def test_abs_rel_by_hand():
    depth = np.array([[1.1, 2.0], [3.0, 8.0]], dtype=np.float32)
    assert abs_rel(depth, TRUTH, ALL) == pytest.approx((0.1 + 0 + 0.25 + 0) / 4, abs=1e-7)


def test_delta1_is_strict_about_the_bound_and_about_negative_depth():
    depth = np.array([[1.25, 2.4], [-4.0, 8.0]])  # exactly 1.25 is out; negative is out
    assert delta1(depth, TRUTH, ALL) == 0.5


def test_only_valid_pixels_count():
    depth = np.array([[1.0, np.nan], [4.0, 80.0]])
    valid = np.array([[True, False], [True, False]])
    assert abs_rel(depth, TRUTH, valid) == 0.0
    assert delta1(depth, TRUTH, valid) == 1.0


def test_alignment_recovers_any_affine_of_log_depth():
    prediction = (np.log1p(TRUTH) - 0.7) / 3.0
    assert np.allclose(align_log1p(prediction, TRUTH, ALL), TRUTH, rtol=1e-12)
    scores = aligned_scores(prediction, TRUTH, ALL)
    assert scores.abs_rel < 1e-12
    assert scores.delta1 == 1.0


def test_flat_map_becomes_the_best_constant_in_log():
    metres = align_log1p(flat_map((2, 2)), TRUTH, ALL)
    assert np.allclose(metres, np.expm1(np.log1p(TRUTH).mean()))


def test_row_ramp_is_far_at_the_top_and_fits_a_ramp_exactly():
    ramp = row_ramp((5, 3))
    assert ramp[0, 0] == 1.0
    assert ramp[-1, -1] == 0.0
    truth = np.expm1(0.5 + 2 * ramp)
    assert aligned_scores(ramp, truth, np.ones((5, 3), bool)).abs_rel < 1e-12


def test_negative_slope_is_kept():
    metres = align_log1p(-np.log1p(TRUTH), TRUTH, ALL)
    assert np.allclose(metres, TRUTH)


def test_as_log_depth_knows_the_kind():
    assert np.allclose(as_log_depth(TRUTH, DepthKind.METRIC), np.log1p(TRUTH))
    assert np.array_equal(as_log_depth(TRUTH, DepthKind.AFFINE_LOG_DEPTH), TRUTH)


@pytest.mark.parametrize(
    ("depth", "truth", "valid"),
    [
        (TRUTH, TRUTH, ~ALL),
        (TRUTH[:1], TRUTH, ALL),
        (TRUTH, TRUTH * 0, ALL),
        (TRUTH * np.nan, TRUTH, ALL),
    ],
    ids=["no pixel", "shape", "zero truth", "nan prediction"],
)
def test_unusable_pairs_are_refused(depth, truth, valid):
    with pytest.raises(DataError):
        abs_rel(depth, truth, valid)
