"""The mask equals the golden one; token maps follow the photo's aspect."""

import pytest
import torch

from nearfar.models.dar.causal_mask import causal_mask, step_sizes
from nearfar.models.dar.presets import RELEASED, SMALL


def test_mask_equals_golden(golden, golden_facts):
    masks, lists = golden("causal_mask"), golden_facts("causal_mask")
    for name, expected in masks.items():
        which, step, _ = name.split(".")
        sizes = lists[which][: int(step.removeprefix("step"))]
        assert torch.equal(causal_mask(sizes), expected.bool()), name
    assert len(masks) == 4


def test_sizes_of_the_paper_and_the_release_at_three_by_four():
    def sizes(config, *image_hw):
        return step_sizes(image_hw, last_grid=config.last_grid, fractions=config.fractions)

    assert sizes(SMALL, 504, 672) == [(4, 5), (6, 8), (8, 10), (12, 15), (16, 20)]
    assert sizes(RELEASED, 480, 640) == [(4, 5), (8, 10), (12, 15), (16, 20)]


@pytest.mark.parametrize("image_hw", [(352, 1216), (640, 480), (100, 100), (28, 2000), (900, 30)])
def test_other_aspects_keep_the_number_of_tokens(image_hw):
    sizes = step_sizes(image_hw, last_grid=(16, 20), fractions=(0.25, 0.5, 1.0))
    h, w = sizes[-1]
    assert min(min(size) for size in sizes) >= 2
    assert (h > w) == (image_hw[0] > image_hw[1]) or abs(h - w) <= 4
    if 0.2 < image_hw[0] / image_hw[1] < 5:
        assert 280 < h * w < 360
