import torch
from golden_tokenizers import FULL_TOPOLOGY, golden, made, var_weights

from nearfar.tokenizers.autoencoder import CellAttention, Encoder, ResidualBlock
from nearfar.tokenizers.presets import PRESETS


def test_five_levels_match_the_golden_run():
    """The real topology (five levels, two blocks) on 64x64 images, weights made from names."""
    found, network = golden("var_full_topology"), made(FULL_TOPOLOGY, var_weights)
    with torch.no_grad():
        f = network.features(found["in.image"])
        image = network.decode(found["out.f_hat.3"])
    torch.testing.assert_close(f, found["out.f"], atol=1e-5, rtol=0)
    torch.testing.assert_close(image[:1], found["out.recon_from_idx"], atol=2e-5, rtol=0)


@torch.no_grad()
def test_tokens_behind_five_levels_are_the_golden_ones():
    found, network = golden("var_full_topology"), made(FULL_TOPOLOGY, var_weights)
    quantizer = network.quantize
    indices, sums = network.encode(found["in.image"])
    random = [found[f"in.rand_idx.{scale}"] for scale in range(4)]
    for scale in range(4):
        assert torch.equal(indices[scale], found[f"out.idx.{scale}"])
    image = network.decode_indices(random)
    near = {"atol": 2e-5, "rtol": 0}
    torch.testing.assert_close(sums[-1], found["out.f_hat.3"], **near)
    torch.testing.assert_close(image, found["out.recon_from_rand_idx"], **near)
    torch.testing.assert_close(quantizer.teacher_inputs(sums), found["out.var_input"], **near)
    loss = quantizer(found["out.f"]).loss
    torch.testing.assert_close(loss, found["out.vq_loss"][0], **near)


def test_levels_are_what_the_encoder_passes_on(generator):
    encoder = Encoder(PRESETS["micro"])
    image = torch.rand(2, 3, 16, 16, generator=generator)
    levels = encoder.levels(image)
    shapes = [tuple(x.shape[1:]) for x in levels]
    assert shapes == [(8, 16, 16), (8, 8, 8), (16, 4, 4), (16, 4, 4)]
    out = encoder.conv_out(torch.nn.functional.silu(encoder.norm_out(levels[-1])))
    assert torch.equal(out, encoder(image))


def test_attention_is_softmax_over_cells_with_scale_of_the_channels(generator):
    layer = CellAttention(8, groups=4)
    x = torch.randn(2, 8, 3, 3, generator=generator)
    q, k, v = layer.qkv(layer.norm(x)).flatten(2).chunk(3, dim=1)
    weights = (q.transpose(1, 2) @ k * 8**-0.5).softmax(dim=-1)
    mixed = (v @ weights.transpose(1, 2)).unflatten(2, (3, 3))
    torch.testing.assert_close(layer(x), x + layer.proj_out(mixed))


def test_shortcut_only_where_channels_change():
    assert ResidualBlock(8, 8, groups=4).nin_shortcut is None
    assert ResidualBlock(8, 16, groups=4).nin_shortcut is not None
