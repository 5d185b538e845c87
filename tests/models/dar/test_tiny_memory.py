"""The tiny encoder as memory and context, frozen or trained."""

import torch


def test_shapes_and_scale(micro):
    encoder = micro().encoder
    image = torch.rand(2, 3, 48, 80, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        encoded = encoder(image)
        assert encoded.memory_BMD.shape[::2] == (2, 24)
        assert encoded.context_BChw.shape == (2, 8, 24, 40)
        encoder.backbone.maps.bias[0] += 1  # e times as far everywhere
        farther = encoder(image)
    assert (farther.memory_BMD - encoded.memory_BMD).abs().max() > 1e-3
    assert torch.allclose(farther.tiny.log_depth_BHW, encoded.tiny.log_depth_BHW + 1, atol=1e-5)


def test_a_frozen_backbone_keeps_weights_and_statistics(micro):
    encoder = micro().encoder
    image = torch.rand(2, 3, 48, 64, generator=torch.Generator().manual_seed(0))
    encoder.freeze()
    before = encoder.backbone.stem[1].running_mean.clone()
    encoded = encoder.train()(image)
    (encoded.memory_BMD.sum() + encoded.context_BChw.sum()).backward()
    assert encoder.training and not encoder.backbone.training
    assert torch.equal(encoder.backbone.stem[1].running_mean, before)
    assert all(p.grad is None for p in encoder.backbone.parameters())
    assert encoder.memory.weight.grad is not None


def test_a_trained_backbone_gets_gradients(micro):
    encoder = micro().encoder.train()
    image = torch.rand(2, 3, 48, 64, generator=torch.Generator().manual_seed(0))
    encoded = encoder(image)
    (encoded.memory_BMD.square().sum() + encoded.context_BChw.square().sum()).backward()
    assert encoder.backbone.stem[0].weight.grad.abs().sum() > 0


def test_bfloat16_beside_a_float32_backbone(micro):
    encoder = micro().encoder.bfloat16()
    encoder.backbone.float()
    encoded = encoder(torch.rand(1, 3, 32, 48, generator=torch.Generator().manual_seed(0)))
    assert encoded.memory_BMD.dtype == encoded.context_BChw.dtype == torch.bfloat16
    assert encoded.tiny.log_depth_BHW.dtype == torch.float32
