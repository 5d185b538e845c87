from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from nearfar.encoders.efficientnet_lite import (
    LITE0,
    LITE2,
    EfficientNetLite,
    EfficientNetLiteConfig,
    ScaledConv,
    from_published,
)
from nearfar.errors import ConfigError, WeightsError
from nearfar.train.frozen_parts import packaged_backbone

GOLDEN = Path(__file__).parents[1] / "golden" / "efficientnet_lite" / "lite.safetensors"
CONFIGS = {"lite0": replace(LITE0, head_width=1280), "lite2": replace(LITE2, head_width=1280)}


@pytest.fixture(scope="module")
def golden():
    return load_file(GOLDEN)


def published(name):
    found = packaged_backbone(f"efficientnet-{name}")
    network = EfficientNetLite(CONFIGS[name]).eval()
    network.load_state_dict(from_published(found.tensors, CONFIGS[name], where=found.path))
    return network


@pytest.mark.parametrize(("name", "ends"), [("lite0", (4, 15)), ("lite2", (6, 20))])
def test_published_weights_give_the_reference_features_and_classes(golden, name, ends):
    network = published(name)
    with torch.no_grad():
        stages = network.stages(golden["image_B3HW"])
        for end in ends:
            wanted = golden[f"{name}.block{end:02d}"]
            found = stages[network.ends.index(end)]
            torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-4)
        for image, logits in (("image_B3HW", "logits"), (f"{name}.odd_image_B3HW", "odd_logits")):
            found = network.logits(golden[image])
            torch.testing.assert_close(found, golden[f"{name}.{logits}"], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("config", "wanted"),
    [(LITE2, [(0, 1), (2, 2), (1, 1), (2, 2)]), (LITE0, [(0, 1), (1, 2), (0, 1), (1, 2)])],
)
def test_padding_is_that_of_the_size_trained_at(config, wanted):
    # 260 halves to 130, 65, 33, 17: layers that saw an odd side pad on both sides
    layers = [block.depthwise for block in EfficientNetLite(config).blocks]
    assert [(d.before, d.after) for d in layers if d.stride[0] > 1] == wanted


def test_pyramid_halves_four_times():
    network = EfficientNetLite(LITE0).eval()
    with torch.no_grad():
        pyramid = network(torch.rand(1, 3, 64, 96, generator=torch.Generator().manual_seed(0)))
    assert [tuple(f.shape[1:]) for f in pyramid] == [
        (16, 32, 48),
        (24, 16, 24),
        (40, 8, 12),
        (112, 4, 6),
        (320, 2, 3),
    ]


def test_scaled_convolution_is_a_folded_batch_norm():
    generator = torch.Generator().manual_seed(1)
    norm = torch.nn.BatchNorm2d(6, eps=1e-3).eval()
    for tensor in (norm.weight, norm.bias, norm.running_mean, norm.running_var):
        tensor.data = torch.rand(6, generator=generator) + 0.5
    layer = ScaledConv(4, 6, kernel=3)
    layer.scale.data = norm.weight / (norm.running_var + 1e-3).sqrt()
    layer.shift.data = norm.bias - norm.running_mean * layer.scale
    x = torch.rand(2, 4, 8, 8, generator=generator)
    plain = torch.nn.functional.conv2d(x, layer.weight, padding=1)
    torch.testing.assert_close(layer(x), norm(plain))


def test_a_file_without_a_tensor_is_named():
    with pytest.raises(WeightsError, match=r"lite.pth: no tensor _bn0.running_var"):
        from_published({}, LITE0, where="lite.pth")


def test_classes_need_a_head_and_configs_seven_stages():
    with pytest.raises(ConfigError, match="head_width=1280"):
        EfficientNetLite(LITE0).logits(torch.zeros(1, 3, 32, 32))
    with pytest.raises(ConfigError, match="2 widths and 7 repeats"):
        EfficientNetLiteConfig(widths=(8, 8))
