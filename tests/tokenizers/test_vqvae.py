import pytest
import torch
from golden_tokenizers import SWITTI_16, golden, made, network_of, switti_weights, under

from nearfar.errors import ConfigError
from nearfar.tokenizers.vqvae import draw_codebook


@pytest.fixture(scope="module")
def var_tiny():
    found = golden("var_tiny")
    return found, network_of(under(found, "sd."), scales=(1, 2, 3, 4))


@torch.no_grad()
def test_image_to_tokens_to_image_of_var(var_tiny):
    found, network = var_tiny
    torch.testing.assert_close(
        network.features(found["in.image"]), found["out.f"], atol=1e-5, rtol=0
    )
    indices, sums = network.encode(found["in.image"])
    for scale in range(4):
        assert torch.equal(indices[scale], found[f"out.idx.{scale}"])
        torch.testing.assert_close(sums[scale], found[f"out.f_hat.{scale}"], atol=1e-5, rtol=0)
    for scale in (2, 3):
        image = network.decode(sums[scale])
        expected = found[f"out.recon_from_image.{scale}"]
        torch.testing.assert_close(image, expected, atol=1e-5, rtol=0)
    random = [found[f"in.rand_idx.{scale}"] for scale in range(4)]
    for tokens, name in ((indices, "idx"), (random, "rand_idx")):
        expected = found[f"out.recon_from_{name}"]
        torch.testing.assert_close(network.decode_indices(tokens), expected, atol=1e-5, rtol=0)


@torch.no_grad()
def test_stride_16_of_switti():
    found, network = golden("switti"), made(SWITTI_16, switti_weights)
    image = found["vq16.img"]
    torch.testing.assert_close(network.features(image), found["vq16.f"], atol=1e-4, rtol=0)
    indices, sums = network.encode(image)
    assert torch.equal(torch.cat(indices, dim=1), found["vq16.idx"].long())
    torch.testing.assert_close(network.decode(sums[-1]), found["vq16.rec"], atol=1e-4, rtol=0)


@torch.no_grad()
def test_cast_leaves_the_quantizer_in_float32(var_tiny):
    found, _ = var_tiny
    image = found["in.image"]
    half = network_of(under(found, "sd."), scales=(1, 2, 3, 4)).cast(torch.bfloat16)
    assert half.quantize.embedding.weight.dtype == torch.float32
    f = half.features(image)
    assert f.dtype == torch.float32
    torch.testing.assert_close(f, found["out.f"], atol=0.1, rtol=0)
    assert half.decode(found["out.f_hat.3"]).dtype == torch.float32


def test_decoded_images_are_clamped_and_training_ones_are_not(micro, generator):
    f_hat = 100 * torch.randn(1, 4, 4, 4, generator=generator)
    with torch.no_grad():
        micro.decoder.conv_out.weight *= 50
        assert micro.decode(f_hat).abs().max() == 1
        assert micro.reconstruct(f_hat).abs().max() > 1


@pytest.mark.parametrize(
    ("shape", "words"),
    [
        ((1, 1, 16, 16), "image of 1 channels, the tokenizer takes 3"),
        ((1, 3, 18, 16), "image of 18x16 pixels, stride 4. Resize it to 16x16"),
    ],
)
def test_images_that_do_not_fit(micro, shape, words):
    with pytest.raises(ConfigError, match=words):
        micro.features(torch.zeros(shape))


def test_codebook_draws_repeat(micro):
    codes = [
        draw_codebook(micro, generator=torch.Generator().manual_seed(seed))
        or micro.quantize.embedding.weight.clone()
        for seed in (1, 1, 2)
    ]
    assert torch.equal(codes[0], codes[1]) and not torch.equal(codes[0], codes[2])
