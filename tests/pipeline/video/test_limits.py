import numpy as np
import pytest

from nearfar.pipeline.video.config import RangeChoice
from nearfar.pipeline.video.limits import ColorLimits, DepthCounts
from nearfar.result import DepthKind, DepthResult


def result_of(depth):
    depth = np.atleast_2d(np.asarray(depth, np.float32))
    return DepthResult(depth=depth, kind=DepthKind.METRIC, valid=np.isfinite(depth))


@pytest.mark.parametrize("growth", [1.0, 40.0, -40.0])
def test_quantiles_and_extremes_of_a_growing_clip(growth):
    rng, counts, seen = np.random.default_rng(0), DepthCounts(), []
    for i in range(12):
        depth = rng.normal(5 + growth * i, 1 + i, (60, 80))
        depth[0, 0] = np.nan
        counts.add(result_of(depth))
        seen.append(np.float32(depth))
    every = np.concatenate([d.ravel() for d in seen])
    every = every[np.isfinite(every)]
    assert counts.extremes() == (every.min(), every.max())
    step = float(every.max() - every.min()) / 1024
    near, far = (float(v) for v in np.quantile(every, [0.02, 0.98]))
    assert counts.quantiles().near == pytest.approx(near, abs=step)
    assert counts.quantiles().far == pytest.approx(far, abs=step)
    assert counts.counts.sum() == len(every)


def test_flat_and_empty_clips_have_a_range():
    counts = DepthCounts()
    assert counts.quantiles() == counts.extremes() == (0, 1)
    counts.add(result_of([[np.nan]]))
    assert counts.extremes() == (0, 1)
    for _ in range(3):
        counts.add(result_of([[7.0, 7.0]]))
    for limits in (counts.quantiles(), counts.extremes()):
        assert limits.near < limits.far
        assert limits.near == pytest.approx(7, abs=1e-3)


def test_clip_and_fixed_ranges_do_not_move():
    counts = DepthCounts()
    for i in range(5):
        counts.add(result_of([[1.0, 2.0 + i]]))
    for choice, expected in (
        (RangeChoice(), counts.quantiles()),
        (RangeChoice(mode="fixed", fixed=(0.5, 8.0)), (0.5, 8.0)),
    ):
        limits = ColorLimits(choice, counts)
        assert {limits.of(result_of([[i, 9.0]]), begins_shot=False) for i in range(4)} == {expected}


def test_running_range_is_smooth_and_jumps_at_cuts():
    limits = ColorLimits(RangeChoice(mode="running"), DepthCounts())
    near = [
        limits.of(result_of(np.linspace(low, low + 10, 1000)), begins_shot=cut).near
        for low, cut in ((1, False), (2, False), (2, False), (50, True))
    ]
    assert near == pytest.approx([1.2, 1.3, 1.39, 50.2], abs=0.01)
    nothing = limits.of(result_of([[np.nan]]), begins_shot=False)
    assert nothing.near == pytest.approx(50.2, abs=0.01)
