"""The transformer equals the golden runs; a cached run equals one that computes all again."""

import pytest
import torch

from nearfar.models.dar.causal_mask import causal_mask
from nearfar.models.dar.kv_cache import FixedCache, GrowingCache
from nearfar.models.dar.recomputed_run import RecomputedRun
from nearfar.models.dar.transformer import CachedRun, Transformer

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
