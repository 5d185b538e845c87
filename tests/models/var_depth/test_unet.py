import torch

from nearfar.models.var_depth.unet import DepthUNet, UNetAttention

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
