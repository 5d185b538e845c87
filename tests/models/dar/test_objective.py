"""SILog equals the golden values; gradients reach query tokens and encoder; masks count."""

import math
from dataclasses import replace

import pytest
import torch

from nearfar.batch import DepthBatch
from nearfar.errors import ConfigError
from nearfar.models.dar.bins import Shares, TreeBins, expectation, uniform_bins
from nearfar.models.dar.network import new_network
from nearfar.models.dar.objective import DARObjective, bins_cost, cut_depth, cut_flip, silog_losses
from nearfar.models.dar.presets import MICRO
from nearfar.models.dar.sample import Step, at_size


def test_silog_equals_golden(golden):
    values = golden("silog_loss")
    low = values["pred_lowres"].clone().requires_grad_()
    losses = silog_losses([at_size(step, (24, 32))[:, 0] for step in low], values["gt"])
    losses.total.backward()
    near = {"rtol": 1e-5, "atol": 1e-7}
    torch.testing.assert_close(losses.total.detach()[None], values["loss"], **near)
    parts = torch.stack([*losses.parts.values()])
    torch.testing.assert_close(parts, values["loss_steps"], **near)
    torch.testing.assert_close(low.grad, values["grad_pred"], **near)


def batch(height=32, width=48):
    generator = torch.Generator().manual_seed(0)
    depth = torch.rand(2, height, width, generator=generator) * 9 + 1
    valid = torch.rand(2, height, width, generator=generator) > 0.2
    return {
        "image_B3HW": torch.rand(2, 3, height, width, generator=generator),
        "depth_BHW": torch.where(valid, depth, 0.0),
        "valid_BHW": valid,
        "sky_BHW": torch.zeros_like(valid),
        "fov_x_deg_B": torch.tensor([60.0, torch.nan]),
    }


def losses_of(objective, samples, seed=1):
    return objective(DepthBatch(**samples), generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("options", [{}, {"is_checkpointed": True}])
def test_gradients_reach_query_tokens_and_encoder(micro, options):
    network = micro().train()
    losses = losses_of(DARObjective(network, **options), batch(36, 52))
    losses.total.backward()
    assert set(losses.parts) == {f"step_{k}" for k in range(1, 6)}
    assert torch.isclose(losses.total, sum(losses.parts.values()))
    for parameter in (
        network.query_tokens,
        network.level_embedding,
        network.encoder.backbone.stem[0].weight,
        network.transformer.mid_block[0].self_attn.qkv.weight,
        network.feedback.weight,
    ):
        assert parameter.grad.isfinite().all() and parameter.grad.abs().sum() > 0
    unused = [n for n, p in network.named_parameters() if p.grad is None]
    assert all(n.startswith("encoder.backbone.") for n in unused), unused


def test_no_valid_pixel_costs_nothing(micro):
    network, samples = micro().train(), batch()
    samples["valid_BHW"] = torch.zeros_like(samples["valid_BHW"])
    losses = losses_of(DARObjective(network), samples)
    losses.total.backward()
    assert losses.total == 0 and (network.query_tokens.grad == 0).all()


def test_perfect_depth_has_finite_gradients():
    truth = torch.full((1, 4, 4), 3.0)
    depth = truth.clone().requires_grad_()
    silog_losses([depth], truth).total.backward()
    assert depth.grad.isfinite().all()


def test_unknown_pixels_and_padding_do_not_count(micro):
    samples = batch()
    objective = DARObjective(micro())
    first = losses_of(objective, samples).total
    samples["depth_BHW"] = torch.where(samples["valid_BHW"], samples["depth_BHW"], 77.0)
    assert losses_of(objective, samples).total == first


def test_truth_beyond_the_range_may_be_capped(micro):
    samples = batch()
    samples["depth_BHW"] = samples["depth_BHW"] * 100
    network = micro()
    capped = losses_of(DARObjective(network, is_capped=True), samples).total
    assert capped != losses_of(DARObjective(network), samples).total
    samples["depth_BHW"] = samples["depth_BHW"].clamp_max(100)
    assert capped == losses_of(DARObjective(network), samples).total


def test_augmentation_draws_from_the_generator_in_training_only(micro):
    network, samples = micro(), batch()
    objective = DARObjective(network, cut_depth=1.0, cut_flip=1.0)
    assert losses_of(objective, samples).total == losses_of(objective, samples, seed=2).total
    network.train()
    one, again, other = (losses_of(objective, samples, seed=s).total for s in (1, 1, 2))
    assert one == again != other


def test_frozen_encoder_and_refusals(micro):
    network = micro()
    DARObjective(network, freeze_encoder=True)
    assert not any(p.requires_grad for p in network.encoder.backbone.parameters())
    with pytest.raises(ConfigError, match=r"cut_depth: 1\.5"):
        DARObjective(network, cut_depth=1.5)
    network.encoder = torch.nn.Identity()
    with pytest.raises(ConfigError, match="only a small encoder"):
        DARObjective(network, freeze_encoder=True)


@pytest.mark.parametrize("options", [{}, {"has_prior": True, "is_grid_per_step": False}])
def test_training_reduces_the_loss(micro, options):
    network = micro(**options).train()
    objective, samples = DARObjective(network), batch()
    rows = torch.linspace(8, 1, 32)[:, None].expand(32, 48)
    samples |= {"depth_BHW": torch.stack([rows, rows]), "valid_BHW": rows.expand(2, -1, -1) > 0}
    optimizer = torch.optim.AdamW(network.parameters(), lr=5e-3)
    values = []
    for _ in range(12):
        losses = losses_of(objective, samples)
        optimizer.zero_grad()
        losses.total.backward()
        optimizer.step()
        values.append(losses.total.item())
    assert values[-1] < 0.5 * values[0]


def test_the_likelihood_joins_the_loss(micro):
    samples = batch(36, 52)
    plain = losses_of(DARObjective(micro().train()), samples)
    network = micro().train()
    losses = losses_of(DARObjective(network, likelihood=0.5), samples)
    assert set(losses.parts) - set(plain.parts) == {"bins"}
    extra = 0.5 * float(losses.parts["bins"])
    assert extra > 0.1
    assert float(losses.total.detach()) == pytest.approx(float(plain.total.detach()) + extra)
    losses.total.backward()
    assert network.probability.conv2.bias.grad.abs().sum() > 0


@pytest.fixture(scope="module")
def networks():
    """With bins in metres, and in ln(metres)."""
    drawn = torch.Generator().manual_seed(0)
    linear = replace(MICRO, spacing="linear", far=10.0)
    return [new_network(config, generator=drawn) for config in (linear, MICRO)]


def step_of(shares):
    """A step on a grid of 2x2 whose bins are 1 wide, centers 0.5, 1.5, ..."""
    share_BChw = torch.tensor(shares).view(1, -1, 1, 1).expand(1, len(shares), 2, 2)
    one = torch.ones(1, 1, 2, 2)
    bins = TreeBins(0 * one, one, len(shares))
    return Step(one, one, bins, Shares(share_BChw, bins.centers()))


def test_the_cost_is_the_cross_entropy_of_both_bins_beside_the_truth(networks):
    linear, logarithmic = networks
    step = step_of([0.1, 0.2, 0.6, 0.1])
    truth = torch.full((1, 32, 32), 1.75)  # a quarter of the way from center 1.5 to 2.5
    expected = pytest.approx(-(0.75 * math.log(0.2) + 0.25 * math.log(0.6)), rel=1e-5)
    assert float(bins_cost(linear, step, truth)) == expected
    assert float(bins_cost(logarithmic, step, truth.exp())) == expected
    half = truth.clone()
    half[:, :16] = 0.0  # unknown
    assert float(bins_cost(linear, step, half)) == expected
    at_the_end = torch.full((1, 32, 32), 3.9)
    assert float(bins_cost(linear, step, at_the_end)) == pytest.approx(-math.log(0.1), rel=1e-5)
    for nothing_held in (0 * truth, at_the_end + 1):
        assert float(bins_cost(linear, step, nothing_held)) == 0.0


def test_pixels_of_the_padded_rim_do_not_count(networks):
    left = step_of([0.25, 0.25, 0.4, 0.1])
    share_BChw = left.shares.probability_BChw.clone()
    share_BChw[..., 1] = torch.tensor([0.1, 0.1, 0.1, 0.7])[:, None]
    cut = torch.full((1, 32, 16), 2.5)  # padded to 32x16: a grid over the photo alone
    narrow = left._replace(shares=left.shares._replace(probability_BChw=share_BChw))
    both = float(bins_cost(networks[0], narrow, cut))
    assert both == pytest.approx(-(math.log(0.4) + math.log(0.1)) / 2, rel=1e-5)
    padded = float(bins_cost(networks[0], narrow, cut[..., :8]))  # its right half is rim
    assert padded == pytest.approx(-math.log(0.4), rel=1e-5)


def test_two_possible_truths_become_a_spread(networks):
    logits = torch.zeros(1, 16, 1, 1, requires_grad=True)
    truths = torch.tensor([2.0, 6.0]).view(2, 1, 1).expand(2, 16, 16)
    optimizer = torch.optim.Adam([logits], lr=0.3)
    bins = uniform_bins((1, 1), batch=2, near=1e-3, far=10.0, count=16)
    for _ in range(60):
        share = Shares(logits.softmax(dim=1).expand(2, -1, -1, -1), bins.centers())
        optimizer.zero_grad()
        bins_cost(networks[0], Step(truths, truths, bins, share), truths).backward()
        optimizer.step()
    found = expectation(logits.detach().softmax(dim=1), bins.centers()[:1])
    assert float(found.depth_B1hw) == pytest.approx(4.0, abs=0.2)
    assert float(found.spread_B1hw) == pytest.approx(2.0, abs=0.2)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def test_strips_hold_depth_over_far():
    image = torch.rand(64, 3, 8, 40, generator=generator(1)) * 0.1 + 0.8
    depth = torch.rand(64, 8, 40, generator=generator(2)) * 6
    out = cut_depth(image, depth, far=10.0, chance=1.0, generator=generator())
    changed = (out != image).any(dim=1).any(dim=1)  # [B,W]
    expected = (depth / 10)[:, None].expand_as(image)
    kept = changed[:, None, None].expand_as(image)
    assert torch.allclose(out[kept], expected[kept])
    assert torch.equal(out[~kept], image[~kept])
    width = changed.sum(dim=1)
    assert (width >= 1).all() and width.float().mean() < 0.5 * 40 and width.unique().numel() > 8
    edges = changed.float().diff(dim=1, prepend=torch.zeros(64, 1)).abs().sum(dim=1)
    assert (edges <= 2).all()  # one strip, full height


def test_metres_beyond_far_are_white_and_unknown_is_black():
    image, depth = torch.full((1, 3, 4, 9), 0.5), torch.full((1, 4, 9), 70.0)
    depth[:, 2] = 0
    out = cut_depth(image, depth, far=10.0, chance=1.0, generator=generator(3))
    values = {v for v in out.unique().tolist()}
    assert values == {0.0, 0.5, 1.0}


def test_chance_and_generator():
    image, depth = torch.full((200, 3, 2, 8), 0.9), torch.ones(200, 2, 8)
    out = cut_depth(image, depth, far=10.0, chance=0.25, generator=generator())
    share = (out != image).flatten(1).any(dim=1).float().mean()
    assert 0.15 < share < 0.35
    again = cut_depth(image, depth, far=10.0, chance=0.25, generator=generator())
    assert torch.equal(out, again)
    assert torch.equal(image, cut_depth(image, depth, far=10.0, chance=0.0, generator=generator()))


def test_flipped_rows_keep_photo_and_depth_together():
    rows = torch.arange(20.0)
    image = rows[None, None, :, None].expand(50, 3, 20, 4)
    depth = rows[None, :, None].expand(50, 20, 4)
    out = cut_flip(image, depth, depth > 4, chance=0.5, generator=generator())
    assert torch.equal(out.image_B3HW[:, 0], out.depth_BHW)
    assert torch.equal(out.valid_BHW, out.depth_BHW > 4)
    start = out.depth_BHW[:, 0, 0]
    moved = start > 0
    assert 10 < moved.sum() < 40 and (start[moved] >= 4).all() and (start[moved] < 16).all()
    assert torch.equal(out.depth_BHW.sort(dim=1).values, depth)
