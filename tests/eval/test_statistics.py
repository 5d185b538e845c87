from pathlib import Path

import numpy as np
import pytest

from nearfar.errors import ConfigError, DataError
from nearfar.eval import statistics
from nearfar.eval.statistics import bootstrap_interval, paired_difference

GOLDEN = dict(np.load(Path(__file__).parents[1] / "golden" / "eval" / "own_boundary.npz"))
VALUES, OTHERS, SCENES = (GOLDEN[f"boot.{name}"] for name in ("values", "values_b", "scene"))


def rng(seed=0):
    return np.random.Generator(np.random.PCG64(seed))


def test_golden_interval():
    found = bootstrap_interval(VALUES, generator=rng(), resamples=2000)
    np.testing.assert_allclose([found.low, found.high], GOLDEN["boot.ci95"], rtol=1e-12)
    assert found.mean == pytest.approx(VALUES.mean())
    assert (found.level, found.resamples, found.values, found.units) == (0.95, 2000, 120, 120)
    assert not found.clustered


def test_golden_interval_of_scenes():
    found = bootstrap_interval(VALUES, generator=rng(), scenes=SCENES, resamples=2000)
    np.testing.assert_allclose([found.low, found.high], GOLDEN["boot.cluster_ci95"], rtol=1e-12)
    assert found.clustered and found.units == len(set(SCENES.tolist()))
    names = [f"scene_{scene:03d}" for scene in SCENES]
    assert bootstrap_interval(VALUES, generator=rng(), scenes=names, resamples=2000) == found


def test_golden_paired_difference():
    found = paired_difference(VALUES, OTHERS, generator=rng(), resamples=2000)
    np.testing.assert_allclose([found.low, found.high], GOLDEN["boot.paired_ci95"], rtol=1e-12)
    assert found.mean == pytest.approx(np.mean(OTHERS - VALUES)) and found.low > 0
    swapped = paired_difference(OTHERS, VALUES, generator=rng(), resamples=2000)
    assert (swapped.low, swapped.high) == pytest.approx((-found.high, -found.low))
    same = paired_difference(VALUES, VALUES, generator=rng(), resamples=50)
    assert same.mean == same.low == same.high == 0


def test_blocks_of_draws_do_not_change_the_numbers(monkeypatch):
    whole = bootstrap_interval(VALUES, generator=rng(), resamples=301)
    monkeypatch.setattr(statistics, "_DRAWS_AT_ONCE", 121 * 7)
    assert bootstrap_interval(VALUES, generator=rng(), resamples=301) == whole


def test_scenes_that_agree_inside_widen_the_interval():
    rows = np.repeat(rng(1).normal(size=12), 20)
    alone = bootstrap_interval(rows, generator=rng(), resamples=500)
    together = bootstrap_interval(
        rows, generator=rng(), scenes=np.repeat(range(12), 20), resamples=500
    )
    assert together.high - together.low > 3 * (alone.high - alone.low)


def test_intervals_hold_the_true_mean_about_as_often_as_they_say():
    hits = 0
    for trial in range(200):
        found = bootstrap_interval(rng(trial).normal(size=60), generator=rng(), resamples=300)
        hits += found.low <= 0 <= found.high
    assert 0.88 < hits / 200 < 0.98
    wide = bootstrap_interval(VALUES, generator=rng(), resamples=300, level=0.99)
    narrow = bootstrap_interval(VALUES, generator=rng(), resamples=300, level=0.5)
    assert wide.low < narrow.low < narrow.mean < narrow.high < wide.high


def test_one_value_has_no_width():
    found = bootstrap_interval(np.array([0.3]), generator=rng(), resamples=10)
    assert found.low == found.high == found.mean


def test_unusable_input_is_refused():
    with pytest.raises(DataError, match="1 of 2 values are not finite"):
        bootstrap_interval(np.array([1.0, np.nan]), generator=rng())
    with pytest.raises(DataError, match="list of numbers"):
        bootstrap_interval(np.array([]), generator=rng())
    with pytest.raises(DataError, match="119 scene ids"):
        bootstrap_interval(VALUES, generator=rng(), scenes=SCENES[1:])
    with pytest.raises(DataError, match="120 values against 119"):
        paired_difference(VALUES, VALUES[1:], generator=rng())
    with pytest.raises(ConfigError, match="level 1"):
        bootstrap_interval(VALUES, generator=rng(), level=1.0)
