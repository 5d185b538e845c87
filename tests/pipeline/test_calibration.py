"""Spread to deviation: intervals cover what they say, for every kind; cards that make no sense."""

import dataclasses

import numpy as np
import pytest

from nearfar.errors import ConfigError, DataError, WeightsError
from nearfar.eval.metrics.uncertainty import coverage
from nearfar.pipeline.calibration import (
    Calibration,
    Residuals,
    calibrated,
    calibration_of,
    fit_calibration,
    residuals,
)
from nearfar.pipeline.ensemble import Ensemble, merge_hypotheses
from nearfar.pipeline.predict import Model
from nearfar.result import DepthKind

LOG = DepthKind.AFFINE_LOG_DEPTH
TABLE = {"method": "gain_floor", "gain": 2.0, "floor": 0.03}


def drawn(seed, *, kind=LOG, shared=0.05, own=0.03, count=8):
    """Hypotheses that share a mistake none of them knows of; truth in metres, own scale and shift.

    The lower half of the picture is twice as hard, and the spread shows half of that.
    """
    rng = np.random.default_rng(seed)
    size = (40, 50)
    rows = np.linspace(1, 0.2, size[0])[:, None] + np.zeros(size)
    hard = np.where(np.arange(size[0])[:, None] >= size[0] // 2, 2.0, 1.0)
    unit = rows if kind in (DepthKind.METRIC, DepthKind.SCALE_INVARIANT) else 1.0
    wrong = rows + hard * shared * unit * rng.normal(size=size)
    maps = [wrong + hard * own * unit * rng.normal(size=size) for _ in range(count)]
    if kind is LOG:
        truth = np.expm1(2.0 * rows + 0.5)
    else:
        slope, offset = {
            DepthKind.METRIC: (1.0, 0.0),
            DepthKind.SCALE_INVARIANT: (4.0, 0.0),
            DepthKind.AFFINE_DEPTH: (4.0, 1.0),
        }[kind]
        truth = slope * rows + offset
    merged = merge_hypotheses(np.stack(maps).astype(np.float32), kind=kind)
    return merged, truth.astype(np.float32), np.ones(size, bool)


def measured(seed, kind):
    merged, truth, valid = drawn(seed, kind=kind)
    return merged, residuals(merged.depth_HW, merged.uncertainty_HW, truth, valid, kind=kind)


def covered(error, deviation):
    """Shares inside the intervals of 50, 80, 90, 95 %."""
    # errors about a depth that is far from 0, which `coverage` divides by
    return np.array(coverage(100 + error, np.full_like(error, 100), deviation).shares)


@pytest.mark.parametrize("kind", list(DepthKind))
def test_intervals_cover_what_they_say_on_other_scenes(kind):
    calibration = fit_calibration([measured(seed, kind)[1] for seed in range(6)])
    raw, better = [], []
    for seed in range(100, 106):
        merged, held_out = measured(seed, kind)
        raw.append(covered(held_out.error_P, held_out.spread_P))
        deviation = calibrated(merged, calibration, kind=kind).uncertainty_HW
        better.append(covered(held_out.error_P, deviation.ravel()))
    assert np.mean(raw, axis=0)[2] < 0.75
    np.testing.assert_allclose(np.mean(better, axis=0), [0.5, 0.8, 0.9, 0.95], atol=0.03)


def test_gain_and_floor_are_found_again():
    rng = np.random.default_rng(0)
    scenes = []
    for _ in range(5):
        spread = rng.uniform(0.01, 0.2, 4000)
        error = np.hypot(1.7 * spread, 0.06) * rng.normal(size=4000)
        scenes.append(Residuals(error, spread, np.ones(4000)))
    found = fit_calibration(scenes)
    assert found.gain == pytest.approx(1.7, rel=0.08)
    assert found.floor == pytest.approx(0.06, rel=0.15)
    # a spread that says nothing gives a constant, one that says all needs no floor
    useless = [scene._replace(error_P=0.1 * rng.normal(size=4000)) for scene in scenes]
    found = fit_calibration(useless)
    np.testing.assert_allclose(
        np.hypot(found.gain * scenes[0].spread_P, found.floor), 0.1, rtol=0.1
    )
    perfect = [
        scene._replace(error_P=3 * scene.spread_P * rng.normal(size=4000)) for scene in scenes
    ]
    found = fit_calibration(perfect)
    assert found.gain == pytest.approx(3, rel=0.05) and found.floor < 0.02
    silent = [scene._replace(spread_P=np.zeros(4000)) for scene in useless]
    assert fit_calibration(silent).floor == pytest.approx(0.1, rel=0.05)


def test_scenes_count_alike_whatever_their_pixels():
    rng = np.random.default_rng(1)
    many = Residuals(0.1 * rng.normal(size=40_000), np.full(40_000, 0.01), np.ones(40_000))
    few = [
        Residuals(0.3 * rng.normal(size=500), np.full(500, 0.01), np.ones(500)) for _ in range(3)
    ]
    found = fit_calibration([many, *few])
    deviation = np.hypot(0.01 * found.gain, found.floor)
    inside = [np.mean(np.abs(s.error_P) <= 1.645 * deviation) for s in (many, *few)]
    assert np.mean(inside) == pytest.approx(0.9, abs=0.01)


def test_residuals_forgive_what_the_kind_leaves_open_and_no_more():
    merged, truth, valid = drawn(0, shared=0.0, own=0.001)
    moved = 0.3 * merged.depth_HW - 7
    found = residuals(moved, 0.3 * merged.uncertainty_HW, truth, valid, kind=LOG)
    assert np.abs(found.error_P).max() < 0.003
    valid[:3], moved[4] = False, np.nan
    assert residuals(moved, merged.uncertainty_HW, truth, valid, kind=LOG).error_P.size == 36 * 50
    merged, truth, valid = drawn(0, kind=DepthKind.METRIC, shared=0.0, own=0.001)
    doubled = residuals(2 * merged.depth_HW, merged.depth_HW, truth, valid, kind=DepthKind.METRIC)
    np.testing.assert_allclose(doubled.error_P, -truth.ravel(), rtol=0.02)
    np.testing.assert_allclose(doubled.unit_P, 2 * truth.ravel(), rtol=0.02)
    with pytest.raises(DataError, match="no valid pixel"):
        residuals(moved, moved, truth, np.zeros_like(valid), kind=LOG)
    with pytest.raises(DataError, match="no scene"):
        fit_calibration([])


def test_only_a_spread_is_calibrated():
    depth = np.full((2, 3), 0.5, np.float32)
    calibration = Calibration(gain=3.0, floor=0.4)
    single = Ensemble(depth, None)
    assert calibrated(single, calibration, kind=LOG) is single
    several = Ensemble(depth, np.full((2, 3), 0.1, np.float32))
    assert calibrated(several, None, kind=LOG) is several
    out = calibrated(several, calibration, kind=LOG)
    np.testing.assert_allclose(out.uncertainty_HW, 0.5, rtol=1e-6)
    assert out.depth_HW is depth and out.uncertainty_HW.dtype == np.float32
    metric = calibrated(several, calibration, kind=DepthKind.METRIC)
    np.testing.assert_allclose(metric.uncertainty_HW, np.hypot(0.3, 0.2), rtol=1e-6)


def with_table(make_model, table, **options):
    """The fake model as if its card said `table`."""
    from nearfar.weights.load import LoadedModel
    from nearfar.weights.registry import find

    entry = dataclasses.replace(find("ppd-tiny"), name="fake", uncertainty=table)
    return Model(LoadedModel(make_model(**options)._predictor, entry, "0" * 64))


def test_the_card_reaches_the_result_also_in_metres(make_model, rgb):
    for metric in (False, True):
        raw = make_model().predict(rgb, ensemble_size=4, metric=metric)
        found = with_table(make_model, TABLE).predict(rgb, ensemble_size=4, metric=metric)
        np.testing.assert_array_equal(found.depth, raw.depth)
        slope = 1.0
        if metric:  # one line for the photo: the floor of the map's space grows with the distance
            floor = np.sqrt(found.uncertainty**2 - (2 * raw.uncertainty) ** 2) / (found.depth + 1)
            slope = np.median(floor) / 0.03 * (found.depth + 1)
            assert 0.5 < np.median(floor) / 0.03 < 4
        wanted = np.hypot(2 * raw.uncertainty, 0.03 * slope)
        np.testing.assert_allclose(found.uncertainty, wanted, rtol=1e-4)
    assert with_table(make_model, TABLE).predict(rgb).uncertainty is None


def test_no_table_keeps_the_spread_and_a_wrong_one_is_refused(make_model):
    assert calibration_of({}, where="x") is None
    assert calibration_of(TABLE | {"more": 1}, where="x") == Calibration(gain=2.0, floor=0.03)
    with pytest.raises(WeightsError, match="unknown calibration 'magic'"):
        with_table(make_model, {"method": "magic"})
    for wrong in ({"gain": None}, {"gain": -1.0}, {"floor": float("nan")}, {"floor": "much"}):
        with pytest.raises(WeightsError, match=r"x: the card's calibration is unreadable"):
            calibration_of(TABLE | wrong, where="x")
    with pytest.raises(WeightsError, match="gain"):
        calibration_of({"method": "gain_floor"}, where="x")
    with pytest.raises(ConfigError, match="0 or more"):
        Calibration(gain=1.0, floor=-0.1)
