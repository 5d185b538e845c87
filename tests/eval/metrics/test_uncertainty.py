from pathlib import Path

import numpy as np
import pytest
from scipy.stats import spearmanr

from nearfar.errors import ConfigError, DataError
from nearfar.eval.metrics.uncertainty import (
    METRICS,
    ause_aurg,
    coverage,
    expected_calibration_error,
    interval_coverage,
    nll,
    propagate_sigma,
    risk_coverage_curve,
    spearman,
)

GOLDEN = dict(np.load(Path(__file__).parents[2] / "golden" / "eval" / "uncertainty.npz"))
PRED, GT, SIGMA = GOLDEN["pred"], GOLDEN["gt"], GOLDEN["good.uncert"]


def rng(seed=0):
    return np.random.default_rng(seed)


@pytest.mark.parametrize("case", ["good", "oracle", "ties"])
@pytest.mark.parametrize("metric", METRICS)
def test_golden_ause_and_aurg(case, metric):
    found = ause_aurg(PRED, GT, GOLDEN[f"{case}.uncert"], metric=metric)
    expected = GOLDEN[f"{case}.ause_aurg"][list(METRICS).index(metric)]
    np.testing.assert_allclose(found[:2], expected, rtol=1e-10, atol=1e-14)
    assert (found.metric, found.intervals) == (metric, 50)


def test_ranking_by_the_error_itself_is_best_and_by_its_inverse_worst():
    error = np.abs(PRED - GT) / GT
    best, random, worst = (
        ause_aurg(PRED, GT, key) for key in (error, rng().permutation(error), -error)
    )
    assert best.ause == pytest.approx(0, abs=1e-12)
    assert best.aurg > random.aurg > worst.aurg and worst.aurg < 0
    assert best.ause < random.ause < worst.ause


def test_ranking_is_blind_to_any_rising_change_and_coverage_is_not():
    assert ause_aurg(PRED, GT, 100 * SIGMA).ause == pytest.approx(ause_aurg(PRED, GT, SIGMA).ause)
    assert coverage(PRED, GT, 100 * SIGMA).shares[0] == 1 > coverage(PRED, GT, SIGMA).shares[0]


def test_golden_coverage_calibration_and_likelihood():
    found = coverage(PRED, GT, SIGMA)
    np.testing.assert_allclose(found.shares, GOLDEN["coverage"], rtol=1e-12)
    assert found.levels == (0.5, 0.8, 0.9, 0.95)
    assert found.sharpness == pytest.approx(np.mean(SIGMA / PRED))
    error = expected_calibration_error(PRED, GT, SIGMA)
    np.testing.assert_allclose(error.shares, GOLDEN["ece_levels"], rtol=1e-12)
    assert error.ece == pytest.approx(GOLDEN["ece"].item(), rel=1e-12)
    assert nll(PRED, GT, SIGMA) == pytest.approx(GOLDEN["nll"].item(), rel=1e-12)


def test_coverage_of_a_known_normal_is_the_level():
    truth = rng(1).uniform(1, 10, 100_000)
    sigma = rng(2).uniform(0.1, 1, truth.size)
    depth = truth + sigma * rng(3).normal(size=truth.size)
    np.testing.assert_allclose(
        coverage(depth, truth, sigma).shares, (0.5, 0.8, 0.9, 0.95), atol=0.006
    )
    assert expected_calibration_error(depth, truth, sigma).ece < 0.004
    tight = expected_calibration_error(depth, truth, sigma / 2)
    assert tight.ece > 0.15 and all(np.array(tight.shares) < tight.levels)
    right = nll(depth, truth, sigma)
    assert right < nll(depth, truth, 1.3 * sigma) and right < nll(depth, truth, sigma / 1.3)


def test_quantiles_of_another_distribution():
    truth = rng(4).exponential(2.0, 50_000)
    low, high = (np.full(truth.size, -2 * np.log(1 - q)) for q in (0.1, 0.9))
    assert interval_coverage(truth, low, high) == pytest.approx(0.8, abs=0.006)


@pytest.mark.parametrize("metric", METRICS)
def test_risk_falls_with_coverage_if_the_ranking_is_good(metric):
    curve = risk_coverage_curve(PRED, GT, SIGMA, metric=metric)
    assert len(curve.risk_P) == 101 and curve.coverage_P[[0, -1]].tolist() == [0, 1]
    assert curve.risk_P[10] < curve.risk_P[50] < curve.risk_P[100]
    ratio = np.maximum(PRED / GT, GT / PRED)
    whole = {
        "abs_rel": np.mean(np.abs(PRED - GT) / GT),
        "rmse": np.sqrt(np.mean((PRED - GT) ** 2)),
        "a1": np.mean(ratio >= 1.25),
    }
    assert curve.risk_P[-1] == pytest.approx(whole[metric])
    tied = risk_coverage_curve(PRED, GT, np.ones_like(SIGMA), metric=metric)
    np.testing.assert_allclose(tied.risk_P, whole[metric])


def test_depth_of_zero_is_the_worst_of_all():
    depth = PRED.copy()
    depth[:200] = 0  # an infinite ratio: wrong, and no more than that
    far = np.where(depth == 0, 2.0**-20 * GT, depth)  # equally wrong, and finite
    found, expected = (ause_aurg(d, GT, SIGMA, metric="a1")[:2] for d in (depth, far))
    np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_spearman_is_scipys_also_with_ties():
    error = np.abs(PRED - GT)
    for key in (SIGMA, GOLDEN["ties.uncert"]):
        assert spearman(key, error) == pytest.approx(spearmanr(key, error).statistic, rel=1e-12)
    assert spearman(error, np.exp(error)) == pytest.approx(1)
    assert np.isnan(spearman(np.ones(5), np.arange(5.0)))


@pytest.mark.parametrize(
    ("space", "to_metres"),
    [
        ("depth", lambda target: target),
        ("disparity", lambda target: 1 / target),
        ("log1p", np.expm1),
        ("log", np.exp),
    ],
)
def test_sigma_goes_through_the_alignment_like_a_small_change(space, to_metres):
    raw = rng(5).uniform(0.2, 1, 50)
    scale, shift, sigma = -0.7, 1.5, 1e-6
    depth, moved = (to_metres(scale * values + shift) for values in (raw, raw + sigma))
    found = propagate_sigma(np.full(50, sigma), space=space, scale=scale, depth=depth)
    np.testing.assert_allclose(found, np.abs(moved - depth), rtol=1e-4)


def test_unusable_input_is_refused():
    with pytest.raises(ConfigError, match="abs_rel, rmse, a1"):
        ause_aurg(PRED, GT, SIGMA, metric="mse")
    with pytest.raises(DataError, match="not finite"):
        ause_aurg(PRED, GT, np.full_like(SIGMA, np.nan))
    with pytest.raises(DataError, match="lists of pixels"):
        coverage(PRED, GT, SIGMA[1:])
    with pytest.raises(DataError, match="no valid pixel"):
        spearman(np.array([]), np.array([]))
    with pytest.raises(DataError, match="3000 sigmas"):
        nll(PRED, GT, 0 * SIGMA)
    with pytest.raises(ConfigError, match="aligned depth"):
        propagate_sigma(SIGMA, space="log1p", scale=1.0)
    with pytest.raises(ConfigError, match="unknown space"):
        propagate_sigma(SIGMA, space="inverse", scale=1.0)
    with pytest.raises(ConfigError, match="level 1"):
        coverage(PRED, GT, SIGMA, levels=(1.0,))
