import torch

from nearfar.models.var_depth.condition import feature_widths, sine_code
from nearfar.models.var_depth.presets import GEO, TINY


def test_widths_are_those_of_the_levels():
    assert feature_widths(GEO) == (320, 320, 640, 32)  # strides 4, 8, 16, and the latent
    assert feature_widths(TINY) == (24, 48, 208, 208)


def test_features_have_strides_of_a_quarter_a_half_and_the_whole(micro, photo):
    features = micro(spatial="concat").features(photo, None)
    assert [x.shape[-1] for x in features] == [40, 20, 10, 10]
    assert [x.shape[1] for x in features] == list(feature_widths(micro().config))


@torch.inference_mode()
def test_context_is_learned_global_and_placed_tokens(micro, photo):
    network = micro()
    found = network.condition(network.features(photo, None))
    assert found.context_BMD.shape == (2, 2 + 1 + 4, 24) and found.bias_BM is None
    assert torch.equal(found.context_BMD[0, :2], found.context_BMD[1, :2])
    features = network.features(photo, None)
    flat = network.condition(
        features._replace(coarse_BChw=torch.ones_like(features.coarse_BChw))
    ).context_BMD[0, 3:]
    assert (flat[0] - flat[1]).abs().max() > 1e-3  # the same cells at other places


def test_sine_code_tells_every_place():
    code = sine_code(12, device=torch.device("cpu"))
    assert code.shape == (144, 256)
    distance = torch.cdist(code, code) + 99 * torch.eye(144)
    assert distance.min() > 0.5


def test_null_is_one_token(micro):
    found = micro().condition.null()
    assert found.context_BMD.shape == (1, 1, 24) and found.pooled_BD.shape == (1, 16)
