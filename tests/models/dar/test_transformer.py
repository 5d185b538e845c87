"""The transformer equals the golden runs; a cached run equals one that computes all again."""

import pytest
import torch

from nearfar.models.dar.presets import RELEASED, SMALL
from nearfar.models.dar.transformer import (
    CachedRun,
    FixedCache,
    GrowingCache,
    RecomputedRun,
    Transformer,
    causal_mask,
    step_sizes,
)

SIZES = [(2, 3), (3, 4), (4, 5), (5, 6), (6, 8)]


@pytest.fixture
def transformer(golden):
    values = golden("transformer")
    network = Transformer(layers=5, width=32, heads=4, token_width=32, memory_width=24)
    network.load_state_dict(
        {n.removeprefix("w."): t for n, t in values.items() if n.startswith("w.")}
    )
    return network


@pytest.mark.parametrize("name", ["released_nomask", "masked", "masked_noskip"])
def test_outputs_equal_golden(transformer, golden, name):
    values = golden("transformer")
    if name == "masked_noskip":
        for block in transformer.mid_block:
            block.skip_linear = None
    mask = None if name == "released_nomask" else causal_mask(SIZES)
    with torch.no_grad():
        out = transformer(
            values["x"],
            transformer.remember(values["memory"]),
            caches=[GrowingCache()] * 5,
            mask_LL=mask,
        ).tokens_BLD
    torch.testing.assert_close(out, values[f"out_{name}"], rtol=1e-5, atol=1e-5)


def steps(values):
    counts = [h * w for h, w in SIZES]
    return values["x"].split(counts, dim=1)


@pytest.mark.parametrize("with_gradients", [False, True])
def test_cached_steps_equal_the_masked_whole(transformer, golden, with_gradients):
    values = golden("transformer")
    with torch.set_grad_enabled(with_gradients):
        run = CachedRun(transformer, values["memory"], capacity=116)
        assert isinstance(run.caches[0], GrowingCache if with_gradients else FixedCache)
        out = torch.cat([run.step(x) for x in steps(values)], dim=1)
    torch.testing.assert_close(out, values["out_masked"], rtol=1e-5, atol=1e-5)


def test_recomputed_steps_under_the_mask_are_the_cached_ones(transformer, golden):
    values = golden("transformer")
    options = {"sizes_hw": SIZES, "is_masked": True}
    run = CachedRun(transformer, values["memory"], capacity=116)
    again = RecomputedRun(transformer, values["memory"], **options)
    for x in steps(values):
        torch.testing.assert_close(run.step(x), again.step(x), rtol=1e-5, atol=1e-5)


def test_checkpointing_changes_no_gradient(transformer, golden):
    values, found = golden("transformer"), []
    for is_on in (False, True):
        transformer.is_checkpointed = is_on
        transformer.zero_grad()
        run = CachedRun(transformer, values["memory"], capacity=116)
        sum(run.step(x).square().mean() for x in steps(values)).backward()
        found.append({n: p.grad.clone() for n, p in transformer.named_parameters()})
    for name, gradient in found[0].items():
        torch.testing.assert_close(found[1][name], gradient, atol=1e-6, rtol=1e-5)
    assert found[0]["mid_block.3.skip_linear.weight"].abs().sum() > 0


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


def tokens(count, seed):
    return torch.randn(2, 3, count, 4, generator=torch.Generator().manual_seed(seed))


def test_both_hold_the_same():
    growing, fixed = GrowingCache(), FixedCache(9)
    for seed, count in enumerate((2, 3, 4)):
        k, v = tokens(count, seed), tokens(count, seed + 10)
        growing, fixed = growing.extended(k, v), fixed.extended(k, v)
        assert torch.equal(growing.view().k_BNLE, fixed.view().k_BNLE)
        assert torch.equal(growing.view().v_BNLE, fixed.view().v_BNLE)
    assert growing.view().k_BNLE.shape == (2, 3, 9, 4)


def test_fixed_memory_is_taken_once():
    cache = FixedCache(6).extended(tokens(2, 0), tokens(2, 1))
    place = cache.memory.k_BNLE.data_ptr()
    cache = cache.extended(tokens(4, 2), tokens(4, 3))
    assert cache.memory.k_BNLE.data_ptr() == place == cache.view().k_BNLE.data_ptr()


def test_growing_passes_gradients():
    k = tokens(2, 0).requires_grad_()
    first = GrowingCache().extended(k, k)
    first.extended(tokens(1, 1), tokens(1, 2)).view().k_BNLE.sum().backward()
    assert (k.grad == 1).all()
    assert first.view().k_BNLE.shape[2] == 2  # an extension leaves its origin alone


SIZES_RECOMPUTED_RUN = [(2, 2), (2, 3)]


def test_last_step_of_all_tokens():
    torch.manual_seed(0)
    transformer = Transformer(layers=3, width=8, heads=2, token_width=6, memory_width=5)
    memory, first, second = torch.randn(1, 7, 5), torch.randn(1, 4, 6), torch.randn(1, 6, 6)
    outs = {}
    for is_masked in (False, True):
        run = RecomputedRun(transformer, memory, sizes_hw=SIZES_RECOMPUTED_RUN, is_masked=is_masked)
        outs[is_masked] = (run.step(first), run.step(second))
        assert outs[is_masked][1].shape == (1, 6, 6) and len(run.inputs) == 2
    assert torch.equal(outs[False][0], outs[True][0])  # one step: the mask allows everything
    assert (outs[False][1] - outs[True][1]).abs().max() > 1e-4
