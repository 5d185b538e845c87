from dataclasses import replace

import pytest
import torch
from torch.nn import functional as F

from nearfar.batch import DepthBatch
from nearfar.errors import ConfigError
from nearfar.models.var_depth import objective as module
from nearfar.models.var_depth.objective import (
    UpsamplerObjective,
    VarDepthObjective,
    affine_loss,
    coarsened,
    code_loss,
    expected_f_hat,
    own_pass,
    ramped_share,
    soft_code_loss,
    teacher_pass,
    token_weights,
)
from nearfar.models.var_depth.presets import MICRO
from nearfar.tokenizers.presets import MICRO as FOUR_SCALES


@pytest.fixture
def always_in_pixels(monkeypatch):
    monkeypatch.setattr("nearfar.models.var_depth.objective.DEPTH_SHARE", 1.0)


def batch(generator, count=3):
    depth = 1 + 5 * torch.rand(count, 24, 32, generator=generator)
    sky = torch.zeros(count, 24, 32, dtype=torch.bool)
    sky[:, :4] = True
    return {
        "image_B3HW": torch.rand(count, 3, 24, 32, generator=generator),
        "depth_BHW": torch.where(sky, 0.0, depth),
        "valid_BHW": ~sky,
        "sky_BHW": sky,
        "fov_x_deg_B": torch.full((count,), 60.0),
    }


def test_same_seed_same_loss_and_options_are_parts(micro, generator, always_in_pixels):
    given, network = batch(generator), micro()
    plain = VarDepthObjective(network)
    first, second = (
        plain(DepthBatch(**given), generator=torch.Generator().manual_seed(4)) for _ in "ab"
    )
    assert torch.equal(first.total, second.total) and set(first.parts) == {
        "cross_entropy",
        "accuracy",
    }
    rich = VarDepthObjective(network, soft_targets=True, feature_weight=0.25, depth_weight=0.1)
    found = rich(DepthBatch(**given), generator=torch.Generator().manual_seed(4))
    assert set(found.parts) - set(first.parts) == {"soft_cross_entropy", "feature", "depth"}
    wanted = found.parts["soft_cross_entropy"] + 0.25 * found.parts["feature"]
    torch.testing.assert_close(found.total, wanted + 0.1 * found.parts["depth"])


def test_condition_dropout_reaches_the_null_tokens(micro, generator):
    given = batch(generator)
    for dropout, wanted in ((1.0, True), (0.0, False)):
        network = micro()
        objective = VarDepthObjective(network, condition_dropout=dropout)
        objective(DepthBatch(**given), generator=generator).total.backward()
        grad = network.condition.null_pooled_D.grad
        assert (grad is not None and bool(grad.abs().max() > 0)) == wanted
        ladder = network.ladder.into.grad
        assert bool(ladder.abs().max() == 0) == wanted


def test_self_refinement_learns_on_own_codes(micro, generator):
    given, network = batch(generator), micro()
    losses = [
        VarDepthObjective(network, condition_dropout=0.0, self_refinement=share)(
            DepthBatch(**given), generator=torch.Generator().manual_seed(4)
        ).total
        for share in (0.0, 1.0)
    ]
    assert abs(float(losses[0] - losses[1])) > 1e-3


def test_self_refinement_grows_over_the_first_half(micro, generator, monkeypatch):
    objective, runs = VarDepthObjective(micro(), self_refinement=1.0), []
    where = "nearfar.models.var_depth.objective."
    for name in ("own_pass", "teacher_pass"):
        monkeypatch.setattr(where + name, lambda *_, name=name: runs.append(name))
    monkeypatch.setattr(VarDepthObjective, "_losses", lambda *_: None)
    given = batch(generator)
    objective(DepthBatch(**given), generator=generator)  # nobody told it where it is
    for done in (0.0, 0.5):
        objective.at(done)
        objective(DepthBatch(**given), generator=generator)
    assert runs == ["own_pass", "teacher_pass", "own_pass"]


def test_loss_falls_on_one_batch(micro, generator):
    network, given = micro(placing=False), batch(generator, 2)
    objective = VarDepthObjective(network, condition_dropout=0.0)
    trained = [p for p in network.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=3e-3)
    losses = []
    for _ in range(12):
        loss = objective(DepthBatch(**given), generator=generator).total
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.6 * losses[0]


def test_images_without_depth_are_finite(micro, generator, always_in_pixels):
    given = batch(generator)
    given["valid_BHW"] = torch.zeros_like(given["valid_BHW"])
    objective = VarDepthObjective(micro(), depth_weight=1.0)
    assert objective(DepthBatch(**given), generator=generator).total.isfinite()


@pytest.mark.parametrize(
    ("changes", "options", "words"),
    [
        ({"is_causal": True}, {"self_refinement": 0.5}, "see each other"),
        ({}, {"condition_dropout": 1.5}, "0..1"),
        ({}, {"depth_weight": -1.0}, "weights"),
    ],
)
def test_senseless_options_are_refused(micro, changes, options, words):
    with pytest.raises(ConfigError, match=words):
        VarDepthObjective(micro(**changes), **options)


def test_other_numbers_of_stages_are_refused(micro):
    assert len(replace(MICRO).tokenizer.scales) == 10
    with pytest.raises(ConfigError, match="10 fixed stages"):
        VarDepthObjective(micro(tokenizer=FOUR_SCALES))


SWITTI = (1, 2, 3, 4, 6, 9, 13, 18, 24, 32)


def test_balanced_scales_count_by_their_side():
    weight = token_weights(SWITTI, balanced=True)
    assert float(weight.sum()) == pytest.approx(1)
    assert float(weight[-1024:].sum()) == pytest.approx(32 / 112, abs=1e-5)
    assert float(weight[:30].sum()) == pytest.approx(10 / 112, abs=1e-5)
    assert torch.equal(token_weights((1, 2), balanced=False), torch.full((5,), 0.2))


def test_uniform_weights_give_the_released_loss(generator):
    logits = torch.randn(2, 5, 7, generator=generator)
    target = torch.randint(7, (2, 5), generator=generator)
    found = code_loss(logits, target, weight_L=token_weights((1, 2), balanced=False))
    torch.testing.assert_close(found, F.cross_entropy(logits.flatten(0, 1), target.flatten()))


def test_soft_targets_forgive_near_codes(micro, generator):
    quantizer = micro().tokenizer.quantize
    with torch.no_grad():
        quantizer.embedding.weight.normal_(generator=generator)
        quantizer.embedding.weight[1] = quantizer.embedding.weight[0] + 0.01
    sought = (quantizer.embedding.weight[0] + 0.3).expand(1, 5, 4)
    weight = token_weights((1, 2), balanced=True)

    def loss(code):
        logits = 8 * F.one_hot(torch.full((1, 5), code), 16).float()
        return float(soft_code_loss(logits, sought, quantizer=quantizer, weight_L=weight))

    assert abs(loss(0) - loss(1)) < 0.3
    assert min(loss(code) for code in range(2, 16)) > loss(1)


def test_sure_logits_give_the_f_hat_of_their_codes(micro, generator):
    network = micro()
    quantizer, scales = network.tokenizer.quantize, network.config.tokenizer.scales
    codes = [torch.randint(16, (1, side * side), generator=generator) for side in scales]
    logits = 100 * F.one_hot(torch.cat(codes, dim=1), 16).float()
    found = expected_f_hat(logits, quantizer)
    torch.testing.assert_close(found, quantizer.partial_sums(codes)[-1], atol=1e-5, rtol=0)


def test_affine_loss_does_not_see_scale_shift_or_holes(generator):
    target = torch.rand(2, 16, 16, generator=generator)
    valid = torch.rand(2, 16, 16, generator=generator) > 0.2
    spoilt = torch.where(valid, 0.3 * target - 5, 77.0)
    # the fit is damped a little, so that a flat guess has a gradient
    assert affine_loss(spoilt, target, valid_BHW=valid) < 0.2
    other = torch.rand(2, 16, 16, generator=generator, requires_grad=True)
    loss = affine_loss(other, target, valid_BHW=valid)
    loss.backward()
    assert loss > 0.5 and other.grad.isfinite().all() and other.grad.abs().max() > 0
    inverted, flat = -target, torch.zeros(2, 16, 16)
    flat_loss = affine_loss(flat, target, valid_BHW=valid)
    assert torch.equal(affine_loss(inverted, target, valid_BHW=valid), flat_loss)
    assert flat_loss > 0.5


def features(network, generator):
    return torch.randn(2, 4, 10, 10, generator=generator)


@torch.inference_mode()
def test_teacher_targets_are_the_tokenizers_codes(micro, photo, generator):
    network = micro()
    f, quantizer = features(network, generator), network.tokenizer.quantize
    found = teacher_pass(network, network.condition_on(photo), f)
    assert torch.equal(found.target_BL, torch.cat(quantizer.encode(f).indices, dim=1))
    assert torch.equal(quantizer.nearest(found.sought_BLC), found.target_BL)
    assert found.logits_BLV.shape == (2, 385, 16)


@torch.inference_mode()
def test_own_targets_are_what_is_left_to_say(micro, photo, generator):
    network = micro()
    f, quantizer = features(network, generator), network.tokenizer.quantize
    found = own_pass(network, network.condition_on(photo), f)
    sides = network.config.tokenizer.scales
    codes = found.logits_BLV.argmax(dim=-1).split([side * side for side in sides], dim=1)
    sums = quantizer.partial_sums(codes)
    targets = found.target_BL.split([side * side for side in sides], dim=1)
    assert torch.equal(targets[0], quantizer.nearest_at(f, scale=0))
    for scale in range(1, len(sides)):
        assert torch.equal(targets[scale], quantizer.nearest_at(f - sums[scale - 1], scale=scale))
    # one pass over the same sums gives the same logits
    inputs = [quantizer.inputs_of_next_scale(s, scale=k) for k, s in enumerate(sums[:-1])]
    logits = network.all_logits(inputs, network.condition_on(photo))
    torch.testing.assert_close(found.logits_BLV, logits, atol=1e-4, rtol=1e-4)


def test_gradients_reach_ladder_and_condition(micro, photo, generator):
    for run in (teacher_pass, own_pass):
        network = micro()
        found = run(network, network.condition_on(photo), features(network, generator))
        found.logits_BLV.square().mean().backward()
        for part in (network.ladder, network.condition.context_mlp, network.transformer):
            grads = [p.grad for p in part.parameters() if p.requires_grad]
            assert all(grad is not None for grad in grads)
        assert all(p.grad is None for p in network.tokenizer.parameters())


def test_own_codes_come_in_over_the_first_half():
    for done, share in ((0.0, 0.0), (0.25, 0.4), (0.5, 0.8), (0.9, 0.8)):
        assert ramped_share(0.8, done=done) == pytest.approx(share)
    with torch.no_grad():
        assert ramped_share(0.8, done=0.0) == 0.8  # held-out losses stay comparable


@pytest.fixture
def network(micro):
    def build(kind="residual"):
        network = micro(upsampler=kind, upsampler_widths=(32, 32)).requires_grad_(False)
        network.upsampler.requires_grad_(True)
        return network

    return build


def pixel_batch(generator, count=2):
    depth = torch.linspace(8, 2, 32)[:, None].expand(count, 32, 48).clone()
    depth[:, 10:24, 12:30] = 1.5
    sky = torch.zeros(count, 32, 48, dtype=torch.bool)
    sky[:, :4] = True
    image = (depth[:, None] / 8).expand(-1, 3, -1, -1).clone()
    return {
        "image_B3HW": image + 0.02 * torch.rand(image.shape, generator=generator),
        "depth_BHW": torch.where(sky, 0.0, depth),
        "valid_BHW": ~sky,
        "sky_BHW": sky,
        "fov_x_deg_B": torch.full((count,), 60.0),
    }


def test_coarse_maps_are_blurred_noisy_and_in_range(generator):
    image = torch.where(torch.arange(64) < 30, -0.5, 0.5).expand(2, 1, 64, 64)
    for factor, blurred in ((2, 2), (8, 8)):
        found = coarsened(image, factor=factor, generator=generator)
        assert found.shape == image.shape and found.abs().max() <= 1
        clean = found - (found - image)[..., :16].mean(dim=(1, 2, 3), keepdim=True)
        between = ((clean.abs() < 0.35).float().mean(dim=(0, 1, 2)) > 0.5).sum()
        assert 1 <= between <= blurred
        assert 0.01 < (found - image)[..., :16].std(dim=(2, 3)).mean() < 0.03
    shifts = (found - image)[..., :16].mean(dim=(1, 2, 3))
    assert abs(float(shifts[0] - shifts[1])) > 1e-3
    assert coarsened(torch.zeros(1, 1, 12, 20), factor=8, generator=generator).shape[-1] == 20


def test_an_untrained_residual_stage_scores_its_coarse_map(network, generator, monkeypatch):
    built, given = network(), pixel_batch(generator)
    torch.nn.init.zeros_(built.upsampler.unet.conv_out.bias)
    objective = UpsamplerObjective(built, own_share=0.0, gradient_weight=0.25)
    monkeypatch.setattr(module, "coarsened", lambda image, **_: (image - 0.1).clamp(-1, 1))
    losses = objective(DepthBatch(**given), generator=generator)
    assert losses.parts["absolute"] == pytest.approx(0.1, abs=0.02)  # -1 cannot go lower
    wanted = losses.parts["absolute"] + 0.5 * losses.parts["square"]
    torch.testing.assert_close(losses.total, wanted + 0.25 * losses.parts["gradient"])
    losses.total.backward()
    assert built.upsampler.unet.conv_out.weight.grad.abs().sum() > 0
    first = [p for name, p in built.named_parameters() if not name.startswith("upsampler.")]
    assert all(p.grad is None for p in first)


def test_half_of_the_batches_are_the_first_stages_own(network, generator, monkeypatch):
    objective, asked = UpsamplerObjective(network(), own_share=0.5), []
    first_stage = UpsamplerObjective.first_stage

    def watched(self, *given):
        asked.append(first_stage(self, *given))
        return asked[-1]

    monkeypatch.setattr(UpsamplerObjective, "first_stage", watched)
    for _ in range(12):
        objective(DepthBatch(**pixel_batch(generator, 1)), generator=generator)
    assert 2 <= len(asked) <= 10
    assert asked[0].shape == (1, 1, 32, 48) and not asked[0].requires_grad


def test_loss_falls_on_one_pixel_batch(network, generator):
    built, given = network(), pixel_batch(generator)
    objective = UpsamplerObjective(built, own_share=0.0)
    optimizer = torch.optim.AdamW(built.upsampler.parameters(), lr=2e-3)
    losses = []
    for _ in range(14):
        loss = objective(DepthBatch(**given), generator=torch.Generator().manual_seed(5)).total
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.7 * losses[0]


def test_only_the_released_network_is_shown_timesteps(network, generator, monkeypatch):
    monkeypatch.setattr(
        "nearfar.models.var_depth.pixel_upsampler.RELEASED_HW", (32, 48)
    )  # 384x640 in a test costs seconds
    seen = {}
    for kind in ("released", "residual"):
        built = network(kind)
        watch = built.upsampler.unet.time_embedding.register_forward_pre_hook(
            lambda _, given, kind=kind: seen.__setitem__(kind, given[0])
        )
        UpsamplerObjective(built, own_share=0.0)(
            DepthBatch(**pixel_batch(generator)), generator=generator
        )
        watch.remove()
    assert not seen["residual"].any()
    assert seen["released"].min() > 0 and seen["released"].max() < 1000
    assert torch.equal(seen["released"], seen["released"].floor())


@pytest.mark.parametrize(
    ("options", "message"),
    [({"own_share": 1.5}, "1.5 is not"), ({"gradient_weight": -1.0}, "negative")],
)
def test_impossible_options(network, options, message):
    with pytest.raises(ConfigError, match=message):
        UpsamplerObjective(network(), **options)


def test_a_network_of_one_stage_is_refused(micro):
    with pytest.raises(ConfigError, match="no second stage"):
        UpsamplerObjective(micro())
