"""Bins injection equals the golden run."""

import pytest
import torch

from nearfar.models.dar.bins import (
    BinProjection,
    ConvGRU,
    ElasticBins,
    Expectation,
    ProbabilityHead,
    ReleasedBins,
    TokenDecoder,
    expectation,
    uniform_bins,
)

NEAR = {"rtol": 1e-5, "atol": 2e-6}


def load(module, values, prefix):
    module.load_state_dict(
        {n.removeprefix(prefix): t for n, t in values.items() if n.startswith(prefix)}
    )
    return module


def test_injection_equals_golden(golden):
    values = golden("bins_injection")
    projection = load(BinProjection(16, 8), values, "proj.")
    gru = load(ConvGRU(16, 20), values, "gru.")
    head = load(ProbabilityHead(16, 16), values, "head.")
    with torch.no_grad():
        features = projection(values["candidates"])
        hidden = gru(values["h"], torch.cat([features, values["context"]], dim=1))
        probability = head(hidden)
        depth = expectation(probability, values["candidates"]).depth_B1hw
    torch.testing.assert_close(features, values["bin_feat"], **NEAR)
    torch.testing.assert_close(hidden, values["gru_out"], **NEAR)
    torch.testing.assert_close(probability, values["prob"], **NEAR)
    torch.testing.assert_close(depth, values["depth"], **NEAR)


def test_two_gates_in_one_call_equal_two_calls():
    torch.manual_seed(0)
    gru, hidden, x = ConvGRU(4, 6), torch.randn(2, 4, 5, 7), torch.randn(2, 6, 5, 7)
    expected = hidden
    for z, r, q in ((gru.convz1, gru.convr1, gru.convq1), (gru.convz2, gru.convr2, gru.convq2)):
        both = torch.cat([expected, x], dim=1)
        update, reset = z(both).sigmoid(), r(both).sigmoid()
        new = q(torch.cat([reset * expected, x], dim=1)).tanh()
        expected = (1 - update) * expected + update * new
    torch.testing.assert_close(gru(hidden, x), expected, atol=1e-6, rtol=0)


def test_candidates_carry_no_gradient_and_probabilities_are_float32():
    centers = torch.ones(1, 4, 3, 3, requires_grad=True)
    features = BinProjection(4, 4, kernel=3)(centers)
    head = ProbabilityHead(4, 4).bfloat16()
    probability = head(features.bfloat16())
    assert probability.dtype == torch.float32
    probability.square().sum().backward()
    assert centers.grad is None and head.conv2.weight.grad is not None


def test_the_decoder_is_eight_times_finer():
    for groups in (4, None):
        out = TokenDecoder(12, 8, 16, groups=groups)(torch.zeros(2, 12, 2, 3))
        assert out.shape == (2, 16, 16, 24)


# the smallest distance of a golden depth to an edge is 6.7e-6


def first(size=(6, 8), batch=2):
    return uniform_bins(size, batch=batch, near=1e-3, far=10.0, count=16)


def test_paper_rule_equals_golden(golden):
    values, bins = golden("mtbin"), first()
    for k in range(5):
        found = expectation(values["logits"][k].softmax(dim=1), bins.centers())
        label = bins.label(found.depth_B1hw)
        torch.testing.assert_close(bins.edges(), values["paper.edges"][k], **NEAR)
        torch.testing.assert_close(bins.centers(), values["paper.centres"][k], **NEAR)
        torch.testing.assert_close(found.depth_B1hw, values["paper.depth"][k], **NEAR)
        torch.testing.assert_close(found.spread_B1hw, values["paper.std"][k], **NEAR)
        assert torch.equal(label[:, 0], values["paper.label"][k].long())
        center = bins.centers().gather(1, label)
        torch.testing.assert_close(center, values["paper.depth_label_centre"][k], **NEAR)
        bins = bins.after(found)


def test_the_interval_holds_the_depth_and_shrinks():
    generator = torch.Generator().manual_seed(0)
    bins = first((5, 7))
    for _ in range(5):
        logits = 4 * torch.randn(2, 16, 5, 7, generator=generator)
        found = expectation(logits.softmax(dim=1), bins.centers())
        after = bins.after(found)
        low, high = after.edges()[:, :1], after.edges()[:, -1:]
        assert ((low - 1e-5 <= found.depth_B1hw) & (found.depth_B1hw <= high + 1e-5)).all()
        share = after.step_B1hw / bins.step_B1hw
        assert ((share - 2 / 16).abs() < 1e-5).logical_or((share - 3 / 16).abs() < 1e-5).all()
        assert (low >= 1e-3 - 1e-5).all() and (high <= 10 + 1e-5).all()
        bins = after
    assert (bins.step_B1hw * 16 < 10 * (3 / 16) ** 4).all()


def test_borders_and_beyond():
    bins = first((1, 4), batch=1)
    edge = bins.edges()[0, 5, 0, 0]
    depth = torch.tensor([-1.0, 1e-3, 11.0, 0.0]).view(1, 1, 1, 4)
    depth[..., 3] = edge
    assert bins.label(depth).flatten().tolist() == [0, 0, 15, 5]
    widths = bins.after(Expectation(depth, depth)).step_B1hw / bins.step_B1hw * 16
    assert widths.flatten().round().tolist() == [2, 2, 2, 3]  # a boundary bin has one neighbor


def test_other_grids_take_the_nearest_bins():
    bins = first((2, 2), batch=1)
    bins = bins.after(Expectation(torch.tensor([[[[1.0, 3], [5, 9]]]]), bins.left_B1hw))
    fine = bins.resized((4, 6))
    assert torch.equal(fine.left_B1hw[0, 0, ::2, ::3], bins.left_B1hw[0, 0])
    assert set(fine.left_B1hw.flatten().tolist()) == set(bins.left_B1hw.flatten().tolist())
    assert bins.resized((2, 2)) is bins


def test_no_gradient_through_the_bins():
    logits = torch.zeros(1, 16, 1, 1, requires_grad=True)
    found = expectation(logits.softmax(dim=1), first((1, 1), batch=1).centers())
    after = first((1, 1), batch=1).after(found)
    assert found.depth_B1hw.requires_grad and not after.centers().requires_grad
    assert not found.spread_B1hw.requires_grad


def first_released_bins(rule, size=(6, 8), batch=2):
    bins = uniform_bins(size, batch=batch, near=1e-3, far=10.0, count=16)
    return ReleasedBins(bins, bins) if rule == "released" else ElasticBins(bins.edges(), 1e-3, 10.0)


def edges_of(bins):
    return bins.narrow.edges() if isinstance(bins, ReleasedBins) else bins.edges_BChw


@pytest.mark.parametrize("rule", ["released", "elastic"])
def test_rules_equal_golden(golden, rule):
    values, bins = golden("mtbin"), first_released_bins(rule)
    for k in range(5):
        found = expectation(values["logits"][k].softmax(dim=1), bins.centers())
        label = bins.label(found.depth_B1hw)
        torch.testing.assert_close(edges_of(bins), values[f"{rule}.edges"][k], **NEAR)
        torch.testing.assert_close(bins.centers(), values[f"{rule}.centres"][k], **NEAR)
        torch.testing.assert_close(found.depth_B1hw, values[f"{rule}.depth"][k], **NEAR)
        torch.testing.assert_close(found.spread_B1hw, values[f"{rule}.std"][k], **NEAR)
        assert torch.equal(label[:, 0], values[f"{rule}.label"][k].long())
        center = bins.centers().gather(1, label)
        torch.testing.assert_close(center, values[f"{rule}.depth_label_centre"][k], **NEAR)
        bins = bins.after(found)


def test_released_centers_never_move_and_lost_depth_is_bin_0():
    bins = first_released_bins("released", (1, 1), batch=1)
    near = torch.full((1, 1, 1, 1), 0.5)
    after = bins.after(Expectation(near, near))
    assert torch.equal(after.centers(), bins.centers())
    assert after.label(torch.full((1, 1, 1, 1), 9.0)).item() == 0


@pytest.mark.parametrize("rule", ["released", "elastic"])
def test_other_grids_take_the_nearest_bins_released_bins(rule):
    bins = first_released_bins(rule, (2, 2), batch=1)
    depth = torch.tensor([[[[1.0, 3], [5, 9]]]])
    bins = bins.after(Expectation(depth, torch.ones_like(depth)))
    assert torch.equal(edges_of(bins.resized((4, 4)))[..., ::2, ::2], edges_of(bins))
    assert edges_of(bins.resized((2, 2))).shape == edges_of(bins).shape
