"""Tree bins equal the golden runs; the interval holds the depth, and shrinks."""

import torch

from nearfar.models.dar.tree_bins import Expectation, expectation, uniform_bins

NEAR = {"rtol": 1e-5, "atol": 2e-6}  # the smallest distance of a golden depth to an edge is 6.7e-6


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
