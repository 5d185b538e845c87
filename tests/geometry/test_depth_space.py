"""Log depth and its normalization equal the golden maps; empty maps have a stated meaning."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from nearfar.geometry.depth_space import (
    log_depth,
    masked_quantile,
    metres_from_log_depth,
    normalize_log_depth,
)

GOLDEN = load_file(Path(__file__).parents[1] / "golden" / "ppd" / "training.safetensors")


def test_normalization_equals_golden():
    depth, mask = GOLDEN["gt.depth"][:, 0], GOLDEN["gt.mask"][:, 0].bool()
    target = normalize_log_depth(depth, mask, mask & (depth < 80)).target_BHW
    torch.testing.assert_close(target, GOLDEN["gt.out"][:, 0], atol=1e-6, rtol=0)


def test_metres_come_back():
    depth = torch.rand(2, 9, 7, generator=torch.Generator().manual_seed(0)) * 50
    torch.testing.assert_close(metres_from_log_depth(log_depth(depth)), depth)
    everywhere = torch.ones_like(depth, dtype=torch.bool)
    target, low, high = normalize_log_depth(depth, everywhere, everywhere)
    back = low[:, None, None] + (high - low)[:, None, None] * (target + 0.5)
    inside = (target > -1) & (target < 0.5)
    assert inside.float().mean() > 0.9
    torch.testing.assert_close(back[inside], log_depth(depth)[inside])


@pytest.mark.parametrize("count", [1, 2, 3, 50, 1000])
def test_quantile_is_torchs_over_the_chosen(count):
    generator = torch.Generator().manual_seed(count)
    value = torch.randn(2, 2000, generator=generator)
    chosen = torch.zeros(2, 2000, dtype=torch.bool)
    for row in chosen:
        row[torch.randperm(2000, generator=generator)[:count]] = True
    expected = torch.stack([v[c].quantile(0.98) for v, c in zip(value, chosen)])
    torch.testing.assert_close(masked_quantile(value, chosen, share=0.98), expected)


def test_rows_without_a_choice():
    value, none = torch.ones(1, 4), torch.zeros(1, 4, dtype=torch.bool)
    assert masked_quantile(value, none, share=0.5).isnan().all()
    depth, none = torch.full((1, 2, 2), 8.0), none.view(1, 2, 2)
    empty = normalize_log_depth(depth, none, none)
    torch.testing.assert_close(empty.target_BHW[0, 0, 0], torch.tensor(0.0))  # ln 9 / ln 81 - 0.5
    sky = normalize_log_depth(depth, ~none, none)
    assert sky.low_B == log_depth(depth)[0, 0, 0] and sky.target_BHW.isfinite().all()
