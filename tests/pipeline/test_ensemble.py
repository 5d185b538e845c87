"""Hypotheses are aligned within the freedom of their kind before median and spread."""

import numpy as np
import pytest

from nearfar.pipeline.ensemble import alignment, merge_hypotheses
from nearfar.result import DepthKind

AFFINE = [DepthKind.AFFINE_LOG_DEPTH, DepthKind.AFFINE_DEPTH]


def scene(height=48, width=64, seed=0):
    rng = np.random.default_rng(seed)
    rows = np.linspace(1, 0, height)[:, None] + np.zeros(width)
    return (rows + 0.3 * (rng.random((height, width)) > 0.5)).astype(np.float32), rng


@pytest.mark.parametrize("kind", AFFINE)
def test_affine_copies_of_one_map_have_no_spread(kind):
    base, _ = scene()
    stack = np.stack([base, 1.3 * base - 0.4, 0.7 * base + 0.1]).astype(np.float32)
    merged = merge_hypotheses(stack, kind=kind)
    assert merged.uncertainty_HW.max() < 1e-5
    # the same picture up to one affine map, with the mean scale and shift of the group
    slope, offset = np.polyfit(base.ravel(), merged.depth_HW.ravel(), 1)
    assert np.allclose(merged.depth_HW, slope * base + offset, atol=1e-5)
    assert 0.7 < slope < 1.3


def test_spread_is_the_noise_not_the_scale():
    base, rng = scene(96, 128)
    noisy = [
        (s * (base + rng.normal(0, 0.05, base.shape)) + t).astype(np.float32)
        for s, t in [(1, 0), (1.2, 0.3), (0.8, -0.3), (1.1, 0.1), (0.9, 0.0), (1.0, 0.2)]
    ]
    merged = merge_hypotheses(np.stack(noisy), kind=DepthKind.AFFINE_LOG_DEPTH)
    assert merged.uncertainty_HW.mean() == pytest.approx(0.05, rel=0.2)
    plain = np.stack(noisy).std(axis=0, ddof=1).mean()
    assert merged.uncertainty_HW.mean() < 0.4 * plain


def test_the_group_does_not_shrink():
    base, rng = scene()
    stack = np.stack([base + rng.normal(0, 0.3, base.shape) for _ in range(5)]).astype(np.float32)
    scale, shift = alignment(stack, kind=DepthKind.AFFINE_LOG_DEPTH)
    assert scale.mean() == pytest.approx(1, abs=1e-6)
    assert shift.mean() == pytest.approx(0, abs=1e-6)


def test_scale_invariant_maps_get_no_shift():
    base, _ = scene()
    stack = np.stack([base, 2 * base, 4 * base])
    scale, shift = alignment(stack, kind=DepthKind.SCALE_INVARIANT)
    assert not shift.any()
    assert np.allclose(scale * [1, 2, 4], scale[0], rtol=1e-5)


def test_metric_maps_are_not_touched():
    base, _ = scene()
    stack = np.stack([base + 1, 2 * base + 2, 3 * base + 3])
    merged = merge_hypotheses(stack, kind=DepthKind.METRIC)
    assert np.allclose(merged.depth_HW, 2 * base + 2)
    assert np.allclose(merged.uncertainty_HW, base + 1, rtol=1e-5)


def test_order_does_not_matter():
    base, rng = scene()
    stack = np.stack([base + rng.normal(0, 0.2, base.shape) for _ in range(4)]).astype(np.float32)
    one = merge_hypotheses(stack, kind=DepthKind.AFFINE_LOG_DEPTH)
    other = merge_hypotheses(stack[::-1], kind=DepthKind.AFFINE_LOG_DEPTH)
    assert np.allclose(one.depth_HW, other.depth_HW, atol=1e-6)
    assert np.allclose(one.uncertainty_HW, other.uncertainty_HW, atol=1e-6)


def test_an_upside_down_or_constant_map_keeps_its_scale():
    base, _ = scene()
    stack = np.stack([base, base, -base, np.zeros_like(base)])
    scale, _ = alignment(stack, kind=DepthKind.AFFINE_LOG_DEPTH)
    assert (scale > 0).all()
    assert np.isfinite(merge_hypotheses(stack, kind=DepthKind.AFFINE_LOG_DEPTH).depth_HW).all()


def test_a_single_map_has_no_uncertainty():
    base, _ = scene()
    merged = merge_hypotheses(base[None], kind=DepthKind.AFFINE_LOG_DEPTH)
    assert merged.uncertainty_HW is None
    assert np.array_equal(merged.depth_HW, base)


def test_the_spread_a_family_knows_counts_alone_and_beside_that_of_the_maps():
    base, _ = scene()
    own = np.full_like(base, 0.25)
    alone = merge_hypotheses(base[None], kind=DepthKind.METRIC, spread_SHW=own[None])
    assert np.array_equal(alone.depth_HW, base) and np.array_equal(alone.uncertainty_HW, own)
    both = merge_hypotheses(
        np.stack([base, base + 2]), kind=DepthKind.METRIC, spread_SHW=np.stack([own, own])
    )
    assert np.allclose(both.uncertainty_HW, np.sqrt(2 + 0.25**2))  # variance between and within
    twice = merge_hypotheses(
        np.stack([base, 3 * base]), kind=DepthKind.SCALE_INVARIANT, spread_SHW=np.stack([own, own])
    )  # brought together by factors 1.5 and 0.5, and their spreads with them
    assert np.allclose(twice.uncertainty_HW, 0.25 * np.sqrt((1.5**2 + 0.5**2) / 2), rtol=1e-3)
