"""Targets follow the network's own choices and equal golden."""

import torch

from nearfar.models.depthart.dynamic_targets import roll_out


def test_targets_equal_golden(networks, golden):
    network, io = networks["depthart"], golden("depthart")
    photo = network.photo_vectors(io["in.image01"], None)
    rollout = roll_out(network, photo, io["out.f_depth"])
    assert torch.equal(rollout.target_BL, io["out.train.targets"])
    assert torch.equal(rollout.target_BL[:, :14], io["out.train_rec.targets"])
    assert rollout.inputs_BLC.shape == (2, 29, 8) and not rollout.inputs_BLC.requires_grad
    logits = network.masked_logits(photo, rollout.inputs_BLC, detach_inputs=True)
    torch.testing.assert_close(logits, io["out.train.logits"], atol=1e-5, rtol=0)


def test_first_scale_is_static_and_the_rest_is_what_is_missing(networks, golden):
    network, io = networks["depthart"], golden("depthart")
    quantizer, f = network.tokenizer.quantize, io["out.f_depth"]
    rollout = roll_out(network, network.photo_vectors(io["in.image01"], None), f)
    static = quantizer.encode(f).indices
    assert torch.equal(rollout.target_BL[:, :1], static[0])
    missing = f - rollout.before_last_BCHW
    assert torch.equal(rollout.target_BL[:, 14:], quantizer.nearest_at(missing, scale=3))
    assert not torch.equal(rollout.target_BL[:, 14:], static[3])
