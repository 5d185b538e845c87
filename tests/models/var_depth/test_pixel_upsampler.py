from dataclasses import replace

import torch

from nearfar.models.var_depth.pixel_upsampler import DepthUNet, PixelUpsampler, UNetAttention
from nearfar.models.var_depth.presets import MICRO


def upsampler(kind):
    return PixelUpsampler(replace(MICRO, upsampler=kind, upsampler_widths=(32, 32))).eval()


def test_sizes_are_the_released_one_or_near_the_photos():
    assert upsampler("released").size_for((1000, 500)) == (384, 640)
    ours = upsampler("residual")
    assert ours.size_for((101, 60)) == (100, 60)
    assert max(ours.size_for((3000, 1000))) == 768


def test_residual_starts_as_the_coarse_map_and_stays_in_range(generator):
    ours = upsampler("residual")
    torch.nn.init.zeros_(ours.unet.conv_out.weight)
    torch.nn.init.zeros_(ours.unet.conv_out.bias)
    photo = torch.rand(1, 3, 16, 24, generator=generator)
    coarse = torch.rand(2, 1, 16, 24, generator=generator) * 2 - 1
    torch.testing.assert_close(ours.refine(photo, coarse), coarse)
    torch.nn.init.ones_(ours.unet.conv_out.bias)
    found = ours.refine(photo, coarse)
    torch.testing.assert_close(found, (coarse + 1).clamp(-1, 1))


def test_released_one_does_not_add_the_coarse_map(generator):
    released = upsampler("released")
    torch.nn.init.zeros_(released.unet.conv_out.weight)
    torch.nn.init.zeros_(released.unet.conv_out.bias)
    photo, coarse = torch.rand(1, 3, 16, 24, generator=generator), torch.ones(1, 1, 8, 8)
    assert released.refine(photo, coarse).abs().max() == 0


WIDTHS = (64, 128, 256, 256)


def test_released_names_count_and_answers(golden, published_keys, recipe_filled):
    with torch.device("meta"):
        network = DepthUNet(WIDTHS)
    assert sum(p.numel() for p in network.parameters()) == 26_622_785
    shapes = {name: list(t.shape) for name, t in network.state_dict().items()}
    assert shapes == published_keys["unet"]
    network, given = recipe_filled(network), golden("second_stage_adapter")
    with torch.inference_mode():
        for timestep in (0, 500):
            found = network(given["unet.in"], torch.tensor([timestep]))
            wanted = given[f"unet.out.t{timestep}"]
            torch.testing.assert_close(found, wanted, atol=1e-5, rtol=0)


def test_attention_sees_all_cells(generator):
    attention = UNetAttention(32)
    for value in attention.parameters():
        torch.nn.init.normal_(value, std=0.3, generator=generator)
    x = torch.randn(1, 32, 4, 6, generator=generator)
    flipped = attention(x.flip(-1)).flip(-1)
    torch.testing.assert_close(attention(x), flipped, atol=1e-5, rtol=1e-5)
