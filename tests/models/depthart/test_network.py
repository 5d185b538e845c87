"""Photo tokens, mask and one-pass logits equal golden; one masked pass equals the cached run."""

import copy
from dataclasses import replace

import pytest
import torch

from nearfar.errors import ConfigError
from nearfar.models.depthart.network import DepthARTNetwork, fold_modulation, new_network
from nearfar.models.depthart.presets import MICRO, TINY


def close(actual, expected, tolerance=1e-5):
    torch.testing.assert_close(actual, expected, atol=tolerance, rtol=0)


@pytest.fixture(scope="module")
def photo(networks, golden):
    return networks["depthart"].photo_vectors(golden("depthart")["in.image01"], None)


def test_photo_tokens_equal_golden(networks, golden, photo):
    network, io = networks["depthart"], golden("depthart")
    encoded = network.tokenizer.encode(2 * io["in.image01"] - 1)
    for scale in range(4):
        assert torch.equal(encoded.indices[scale], io[f"out.image_idx.{scale}"])
        close(encoded.partial_sums[scale], io[f"out.image_f_hat.{scale}"])
    close(photo, io["out.image_tokens_cvae"])
    close(network.embed_photo(photo), io["out.image_tokens"])


def test_mask_equals_golden(networks, golden):
    mask = networks["depthart"].mask(torch.device("cpu"))
    assert torch.equal(mask, golden("depthart")["out.train_mask"].bool())


def test_teacher_forced_logits_equal_golden(networks, golden, photo):
    network, io = networks["depthart"], golden("depthart")
    quantizer = network.tokenizer.quantize
    inputs = quantizer.teacher_inputs(quantizer.encode(io["out.f_depth"]).partial_sums)
    for placed, key in ((True, "depthvar_tf_posstart"), (False, "depthvar_tf")):
        logits = network.masked_logits(
            photo, inputs, detach_inputs=False, with_start_position=placed
        )
        close(logits, io[f"out.{key}.logits"])


@pytest.mark.parametrize("name", ["depthart", "var_l2norm"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_one_masked_pass_equals_the_cached_run(networks, photo, name, dtype):
    network = copy.deepcopy(networks[name]).cast(dtype)
    quantizer = network.tokenizer.quantize
    index = [torch.arange(2 * p * p).view(2, -1) % 64 for p in (1, 2, 3, 4)]
    sums = quantizer.partial_sums(index)
    whole = network.masked_logits(photo, quantizer.teacher_inputs(sums), detach_inputs=False)
    cache, logits = network.begin(photo)
    steps = [logits]
    for scale in (1, 2, 3):
        inputs = quantizer.inputs_of_next_scale(sums[scale - 1], scale=scale - 1)
        steps.append(network.step(inputs, scale=scale, cache=cache))
    assert cache.length == cache.keys[0].shape[2] == 60 and cache.keys[0].dtype == dtype
    stepped = torch.cat(steps, dim=1)
    if dtype == torch.float32:
        close(stepped, whole)
    else:
        assert (stepped - whole).square().mean().sqrt() < 0.02 * whole.std()


class FakeEncoder:
    name, width = "fake", TINY.semantics_width

    def __init__(self, stride=8):
        self.stride = stride

    def semantics(self, image):
        """The photo's own means, a token every stride pixels."""
        cells = torch.nn.functional.avg_pool2d(image[:, :1], self.stride)
        return cells.flatten(2).transpose(1, 2).expand(-1, -1, self.width)


def test_semantics_as_photo_tokens():
    network = new_network(TINY, generator=torch.Generator().manual_seed(0))
    image = torch.full((1, 3, 96, 96), 0.5)
    photo = network.photo_vectors(image, FakeEncoder())
    assert photo.shape == (1, 144, 208) and network.prefix_count == 144
    prefill = network.begin(photo)
    assert prefill.logits_BLV.shape == (1, 1, 1024) and prefill.cache.length == 145
    with pytest.raises(ConfigError, match="no encoder, semantics 208 wide"):
        network.photo_vectors(image, None)


def test_an_encoder_of_another_stride_gives_a_token_a_cell_too():
    network = new_network(TINY, generator=torch.Generator().manual_seed(0))
    image = torch.rand(1, 3, 192, 256, generator=torch.Generator().manual_seed(0))
    fine, coarse = (network.photo_vectors(image, FakeEncoder(stride)) for stride in (8, 16))
    assert fine.shape == coarse.shape == (1, 144, 208)
    torch.testing.assert_close(fine, coarse)  # area means of the same photo


def test_fresh_networks_repeat_and_leave_the_global_state():
    before = torch.random.get_rng_state()
    one, two = (
        new_network(MICRO, generator=torch.Generator().manual_seed(5)).state_dict()
        for _ in range(2)
    )
    assert torch.equal(before, torch.random.get_rng_state())
    assert all(torch.equal(one[name], two[name]) and one[name].isfinite().all() for name in one)
    gates = one["transformer.blocks.0.ada_gss"]
    assert (gates[:, :, :2] == 1).all() and (gates[:, :, 2:] == 0).all()


def test_fresh_gates_are_small_where_they_are_computed():
    config = replace(MICRO, modulation="block")
    network = new_network(config, generator=torch.Generator().manual_seed(5))
    weight = network.transformer.layers[0].ada_lin[1].weight
    assert weight[: 2 * 32].std() < 0.01 * weight[2 * 32 :].std()


def test_only_the_transformer_is_trained():
    with torch.device("meta"):
        network = DepthARTNetwork(MICRO)
    assert not any(p.requires_grad for p in network.tokenizer.parameters())
    assert all(p.requires_grad for p in network.transformer.parameters())


@pytest.mark.parametrize("name", ["depthart", "var_l2norm", "var_shared"])
def test_folded_equals_whole(networks, golden, name):
    whole = networks[name]
    folded = fold_modulation(whole)
    image = golden("depthart")["in.image01"]
    photo = whole.photo_vectors(image, None)
    inputs = torch.linspace(-1, 1, 2 * 29 * 8).view(2, 29, 8)
    expected = whole.masked_logits(photo, inputs, detach_inputs=False)
    found = folded.masked_logits(photo, inputs, detach_inputs=False)
    assert torch.equal(found, expected)
    assert folded.config.modulation == "constant" and folded.config.classes == 0
    assert not any("ada_lin" in key for key in folded.state_dict())
    mine, theirs = folded.transformer.layers[0], whole.transformer.layers[0]
    assert mine.ffn.fc1.weight.data_ptr() == theirs.ffn.fc1.weight.data_ptr()
    assert fold_modulation(folded) is folded


def test_a_third_of_a_block_is_gone(networks):
    def size(network):
        return sum(p.numel() for p in network.transformer.layers[0].parameters())

    whole = networks["depthart"]
    assert abs(size(fold_modulation(whole)) / size(whole) - 2 / 3) < 0.01
