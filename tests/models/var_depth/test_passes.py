import pytest
import torch

from nearfar.models.var_depth.passes import grown, own_pass, teacher_pass


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
        assert grown(0.8, done=done) == pytest.approx(share)
    with torch.no_grad():
        assert grown(0.8, done=0.0) == 0.8  # held-out losses stay comparable
