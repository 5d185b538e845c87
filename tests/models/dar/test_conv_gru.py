"""Bins injection equals the golden run."""

import torch

from nearfar.models.dar.conv_gru import BinProjection, ConvGRU, ProbabilityHead, TokenDecoder
from nearfar.models.dar.tree_bins import expectation

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
