import math

import torch

from nearfar.models.var_depth.crop import CropFeatures, crop_numbers


def test_sizes_give_the_published_numbers(golden):
    wanted = golden("model_tiny")
    for name in ("512", "mixed"):
        found = crop_numbers([tuple(size) for size in wanted[f"hw.{name}"].tolist()])
        assert torch.equal(found.int(), wanted[f"crop.{name}"])
    assert crop_numbers([(512, 512)]).tolist() == [[512, 512, 0, 0]]


def test_features_are_sines_then_cosines_of_each_number():
    features = CropFeatures(16)
    torch.nn.init.constant_(features.weight, 0.25)
    found = features(torch.tensor([[1.0, 2.0, 0.0, 3.0]]))
    wanted = [math.sin(math.pi / 2), math.cos(math.pi / 2), math.sin(math.pi), math.cos(math.pi)]
    torch.testing.assert_close(found[0, :8:2], torch.tensor(wanted), atol=1e-6, rtol=0)
    assert not features.weight.requires_grad
