"""Photo to hypotheses: modes, seeds, kinds, the metric reference, what is refused."""

import copy
from dataclasses import replace

import pytest
import torch

from nearfar.encoders.base import MetricGuess
from nearfar.errors import ConfigError
from nearfar.models.depthart import predictor as module
from nearfar.models.depthart.network import new_network
from nearfar.models.depthart.predictor import DepthARTPredictor
from nearfar.models.depthart.presets import TINY, TINY_PHOTO
from nearfar.predict_config import PredictConfig
from nearfar.result import DepthKind


def asked(steps, **more):
    return PredictConfig(steps=steps, **more)


class FakeEncoder:
    name, width, stride = "fake", 208, 8

    def semantics(self, image):
        tokens = torch.nn.functional.avg_pool2d(image, 8).flatten(2).transpose(1, 2)
        return tokens.repeat(1, 1, 70)[..., :208]

    def metric(self, image):
        self.size_hw = image.shape[-2:]
        depth = torch.full((1, *image.shape[-2:]), 3.0)
        return MetricGuess(depth, depth > 0, torch.tensor([61.0]))


@pytest.fixture
def make(networks):
    def build(name="depthart", **options):
        return DepthARTPredictor(copy.deepcopy(networks[name]), **options)

    return build


def photo(height=90, width=130):
    return torch.rand(3, height, width, generator=torch.Generator().manual_seed(0))


def run(predictor, generators, image=None):
    image = photo() if image is None else image
    return predictor.predict(image, asked(1), area=predictor.default_area, generators=generators)


def test_greedy_equals_golden(make, golden, seeds):
    io = golden("depthart")
    out = run(make(mode="greedy"), seeds(1, 2), io["in.image01"][1])
    assert out.kind is DepthKind.SCALE_INVARIANT and out.reference is None
    assert out.depth_Shw.shape == (2, 16, 16) and torch.equal(*out.depth_Shw)
    expected = io["out.greedy.depth01"][1, 0].clamp_min(module.NEAREST)
    torch.testing.assert_close(out.depth_Shw[0], expected, atol=1e-5, rtol=0)
    assert torch.equal(out.guide_hw3, io["in.image01"][1].permute(1, 2, 0))


@pytest.mark.parametrize("mode", ["sample", "mean_k"])
def test_hypothesis_depends_on_its_own_seed_only(make, seeds, monkeypatch, mode):
    together = run(make(mode=mode), seeds(1, 2, 3)).depth_Shw
    monkeypatch.setattr(module, "SAMPLES_AT_ONCE", 1)
    alone = run(make(mode=mode), seeds(3)).depth_Shw
    torch.testing.assert_close(together[2], alone[0], atol=1e-5, rtol=0)
    assert (together[0] - together[1]).abs().max() > 1e-3
    assert together.min() > 0 and together.dtype == torch.float32


def test_the_photo_is_looked_at_once_for_all_samples(make, seeds, monkeypatch):
    predictor, calls = make(), []
    begin = predictor.network.begin
    monkeypatch.setattr(predictor.network, "begin", lambda photo: calls.append(1) or begin(photo))
    monkeypatch.setattr(module, "SAMPLES_AT_ONCE", 2)
    run(predictor, seeds(*range(5)))
    assert calls == [1]


def test_bfloat16_is_close(make, seeds):
    exact = run(make(mode="greedy"), seeds(1)).depth_Shw
    low = run(make(mode="greedy", dtype=torch.bfloat16), seeds(1)).depth_Shw
    assert low.dtype == torch.float32 and 0 < (low - exact).abs().mean() < 0.1


def test_encoder_prefix_log_curve_and_metres(seeds):
    network = new_network(TINY, generator=torch.Generator().manual_seed(0))
    encoder = FakeEncoder()
    predictor = DepthARTPredictor(network, encoder, metric_encoder=encoder)
    out = run(predictor, seeds(1), photo(60, 120))
    assert out.kind is DepthKind.AFFINE_LOG_DEPTH and out.depth_Shw.shape == (1, 96, 96)
    assert out.reference.name == "fake" and out.reference.fov_x_deg == 61.0
    assert out.reference.depth_HW.shape == out.reference.valid_HW.shape == (96, 96)
    assert encoder.size_hw[1] > 1.8 * encoder.size_hw[0]  # seen in the photo's own shape
    with pytest.raises(ConfigError, match="no encoder"):
        DepthARTPredictor(network)


def test_an_encoder_of_larger_stride_sees_more_and_tells_metres_from_more(seeds):
    network = new_network(TINY_PHOTO, generator=torch.Generator().manual_seed(0))
    encoder = FakeEncoder()
    encoder.width, encoder.stride, seen = 144, 16, []
    encoder.semantics = lambda image: seen.append(image) or torch.zeros(1, 144, 144)
    predictor = DepthARTPredictor(network, encoder, metric_encoder=encoder)
    out = run(predictor, seeds(1), photo(300, 400))
    assert predictor.default_area == 96 * 96 and seen[0].shape == (1, 3, 192, 192)
    assert out.depth_Shw.shape == (1, 96, 96) and out.guide_hw3.shape == (96, 96, 3)
    assert encoder.size_hw == (160, 224)  # near 192 x 192 pixels, in the photo's own shape
    assert out.reference.depth_HW.shape == (96, 96)


def test_what_has_no_meaning_is_refused_with_the_reason(make, seeds):
    predictor = make()
    with pytest.raises(ConfigError, match="4, but this model has no sampling steps.*4 scales"):
        predictor.predict(photo(), asked(4), area=256, generators=seeds(1))
    with pytest.raises(ConfigError, match="400 pixels, but this model has one size: 16x16"):
        predictor.predict(photo(), asked(1), area=400, generators=seeds(1))
    with pytest.raises(ConfigError, match="no generator"):
        predictor.predict(photo(), asked(1), area=256, generators=[])
    with pytest.raises(ConfigError, match="unknown 'best'"):
        make(mode="best")


def test_one_pixel_photo_and_depth_only_curve(make, networks, seeds):
    assert run(make(), seeds(1), photo(1, 1)).depth_Shw.isfinite().all()
    network = copy.deepcopy(networks["depthart"])
    network.config = replace(network.config, curve="linear")
    out = run(DepthARTPredictor(network), seeds(1))
    assert out.kind is DepthKind.AFFINE_DEPTH and out.depth_Shw.min() >= 0
