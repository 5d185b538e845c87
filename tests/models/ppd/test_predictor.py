"""Photo to hypotheses: sizes, seeds, precision, the metric reference, wrong pairings."""

import copy
import math

import pytest
import torch

from nearfar.encoders.base import MetricGuess, SemanticsAndMetric
from nearfar.errors import ConfigError
from nearfar.geometry.resize import photo_to_network
from nearfar.models.ppd import predictor as module
from nearfar.models.ppd.network import new_network
from nearfar.models.ppd.predictor import PPDPredictor
from nearfar.models.ppd.presets import MICRO_PHOTO
from nearfar.predict_config import PredictConfig
from nearfar.result import DepthKind


def config(steps, **more):
    return PredictConfig(steps=steps, **more)


class FakeEncoder:
    """Semantics = mean color of each coarse token, repeated; knows metres."""

    name, width, stride = "fake", 96, 16

    def __init__(self):
        self.calls = 0

    def semantics(self, image):
        self.calls += 1
        tokens = torch.nn.functional.avg_pool2d(image, 16).flatten(2).transpose(1, 2)
        return tokens.repeat(1, 1, 32)

    def metric(self, image):
        b, _, height, width = image.shape
        depth = torch.full((b, height, width), 3.0)
        return MetricGuess(depth, depth > 0, torch.full((b,), 61.0))


def photo(height=90, width=130):
    return torch.rand(3, height, width, generator=torch.Generator().manual_seed(0))


def seeds(*values):
    return [torch.Generator().manual_seed(value) for value in values]


@pytest.fixture
def make(golden_network):
    def build(dtype=torch.float32, **options):
        network = copy.deepcopy(golden_network)
        return PPDPredictor(network, FakeEncoder(), dtype=dtype, **options)

    return build


def test_hypotheses_at_network_size(make):
    predictor = make()
    out = predictor.predict(photo(), config(2), area=48 * 64, generators=seeds(1, 2))
    assert out.depth_Shw.shape == (2, 48, 64) and out.depth_Shw.dtype == torch.float32
    assert out.kind is DepthKind.AFFINE_LOG_DEPTH and out.reference is None
    expected = photo_to_network(photo(), area=48 * 64, multiple=16)
    assert torch.equal(out.guide_hw3, expected.permute(1, 2, 0))
    assert predictor.encoder.calls == 1
    assert (out.depth_Shw[0] - out.depth_Shw[1]).abs().max() > 0.1
    assert (predictor.default_steps, predictor.default_area) == (4, 1024 * 768)


def test_replays_the_golden_run(make, golden):
    io = golden("sampler")
    predictor = make()
    predictor.encoder.semantics = lambda image: io["sample.semantics"]
    out = predictor.predict(
        io["sample.image"][0],
        config(4),
        area=48 * 64,
        generators=[GoldenNoise(io["sample.latent0"])],
    )
    torch.testing.assert_close(out.depth_Shw[0], io["sample.depth4"][0, 0], atol=1e-5, rtol=0)


class GoldenNoise:
    """Stands in for a generator; `noise_for_tests` hands its tensor to the predictor."""

    def __init__(self, noise):
        self.noise = noise


@pytest.fixture(autouse=True)
def noise_for_tests(monkeypatch):
    drawn = module.draw_noise

    def draw(generators, *, size_hw):
        if isinstance(generators[0], GoldenNoise):
            return generators[0].noise
        return drawn(generators, size_hw=size_hw)

    monkeypatch.setattr(module, "draw_noise", draw)


def test_hypothesis_depends_on_its_own_seed_only(make, monkeypatch):
    together = make().predict(photo(), config(2), area=3072, generators=seeds(1, 2, 3)).depth_Shw
    monkeypatch.setattr(module, "CPU_PIXELS_AT_ONCE", 1)
    alone = make().predict(photo(), config(2), area=3072, generators=seeds(3)).depth_Shw
    one_by_one = make().predict(photo(), config(2), area=3072, generators=seeds(1, 2, 3)).depth_Shw
    assert torch.equal(one_by_one[2], alone[0])
    torch.testing.assert_close(together, one_by_one, atol=1e-5, rtol=0)


@pytest.mark.parametrize("pixels", [3072, 2 * 3072, 3 * 3072])
def test_as_many_hypotheses_run_side_by_side_as_the_cache_holds(make, monkeypatch, pixels):
    sizes, predictor = [], make()
    sample = module.sample_depth

    def count(network, image_B3HW, *rest):
        sizes.append(len(image_B3HW))
        return sample(network, image_B3HW, *rest)

    monkeypatch.setattr(module, "sample_depth", count)
    monkeypatch.setattr(module, "CPU_PIXELS_AT_ONCE", pixels)
    predictor.predict(photo(), config(1), area=3072, generators=seeds(1, 2, 3))
    assert max(sizes) == pixels // 3072 and sum(sizes) == 3


@pytest.mark.parametrize(("steps", "calls"), [(1, 1), (2, 1), (3, 2), (4, 2)])
def test_hypotheses_after_the_first_can_start_from_it(make, monkeypatch, steps, calls):
    predictor, asked = make(), []
    forward = predictor.network.forward

    def count(latent_B1HW, *rest, timestep):
        asked.extend([timestep] * len(latent_B1HW))
        return forward(latent_B1HW, *rest, timestep=timestep)

    def predict(*values, **options):
        found = predictor.predict(
            photo(), config(steps, **options), area=3072, generators=seeds(*values)
        )
        return found.depth_Shw

    plain = predict(1, 2, 3)
    monkeypatch.setattr(predictor.network, "forward", count)
    shared = predict(1, 2, 3, ensemble_start="first")
    assert len(asked) == steps + 2 * calls and asked[steps:] == sorted(asked[steps:])[::-1]
    assert torch.equal(shared[0], plain[0])  # the first is what one alone is
    is_same = torch.allclose(shared[1:], plain[1:], atol=1e-5)
    assert is_same is (steps == 1)  # a single call is no way that could be shared
    assert (shared[1] - shared[2]).abs().max() > 0.01
    monkeypatch.setattr(module, "CPU_PIXELS_AT_ONCE", 1)
    assert torch.allclose(predict(1, 3, ensemble_start="first")[1], shared[2], atol=1e-5)
    predictor.default_start = "first"
    assert torch.allclose(predict(1, 2, 3), shared, atol=1e-5)
    assert torch.allclose(predict(1, 2, 3, ensemble_start="noise"), plain, atol=1e-5)


def test_published_networks_start_every_hypothesis_from_noise(make):
    assert make().default_start == "noise"


def test_bfloat16_is_close_and_keeps_float32_outside(make):
    exact = make().predict(photo(), config(4), area=3072, generators=seeds(1)).depth_Shw
    predictor = make(dtype=torch.bfloat16)
    low = predictor.predict(photo(), config(4), area=3072, generators=seeds(1)).depth_Shw
    assert predictor.network.proj_fusion[0].weight.dtype == torch.bfloat16
    assert low.dtype == torch.float32
    assert 0 < (low - exact).square().mean().sqrt() < 0.03


def test_metric_reference_comes_from_the_metric_encoder(make):
    predictor = make(metric_encoder=FakeEncoder())
    reference = predictor.predict(photo(), config(1), area=3072, generators=seeds(1)).reference
    assert reference.name == "fake" and reference.fov_x_deg == 61.0
    assert reference.depth_HW.shape == (48, 64) and (reference.depth_HW == 3).all()
    assert reference.valid_HW.all()


class JointFake(FakeEncoder):
    """Counts passes; `both` is one."""

    def both(self, image):
        self.calls += 1
        return SemanticsAndMetric(FakeEncoder.semantics(FakeEncoder(), image), self.metric(image))

    def semantics(self, image):
        raise AssertionError("two passes")


def test_an_encoder_that_is_both_is_asked_once_and_changes_nothing(golden_network):
    def predict(encoder, metric_encoder):
        network = copy.deepcopy(golden_network)
        predictor = PPDPredictor(network, encoder, metric_encoder=metric_encoder)
        return predictor.predict(photo(), config(2), area=3072, generators=seeds(1, 2))

    joint, apart = JointFake(), FakeEncoder()
    once, twice = predict(joint, joint), predict(apart, apart)
    assert joint.calls == 1
    assert torch.equal(once.depth_Shw, twice.depth_Shw)
    assert torch.equal(once.reference.depth_HW, twice.reference.depth_HW)
    assert once.reference.fov_x_deg == twice.reference.fov_x_deg
    # without metres, or with those of another encoder, nobody is asked for both
    other = predict(apart, JointFake())
    assert torch.equal(other.depth_Shw, once.depth_Shw) and other.reference is not None
    assert predict(apart, None).reference is None


def test_one_pixel_photo(make):
    out = make().predict(photo(1, 1), config(1), area=1024, generators=seeds(1))
    assert out.depth_Shw.shape == (1, 32, 32) and out.depth_Shw.isfinite().all()


def test_wrong_pairing_and_no_generator(golden_network, make):
    encoder = FakeEncoder()
    encoder.width = 64
    with pytest.raises(ConfigError, match="64 channels and 16 pixels a token"):
        PPDPredictor(golden_network, encoder)
    encoder.width, encoder.stride = 96, 8
    with pytest.raises(ConfigError, match="8 pixels a token, the network takes 96 and 16"):
        PPDPredictor(golden_network, encoder)
    with pytest.raises(ConfigError, match="no generator"):
        make().predict(photo(), config(1), area=1024, generators=[])


class Photographer(FakeEncoder):
    """A joint encoder for networks that correct its map: a slope of metres."""

    width, stride = MICRO_PHOTO.semantics_width, MICRO_PHOTO.coarse_patch

    def both(self, image):
        height, width = image.shape[-2:]
        depth = torch.linspace(1, 5, height)[None, :, None].expand(len(image), height, width)
        tokens = torch.zeros(len(image), (height // 16) * (width // 16), self.width)
        guess = MetricGuess(depth, depth > 0, torch.full((len(image),), 61.0))
        return SemanticsAndMetric(tokens, guess)


def test_an_untrained_correction_is_the_encoder_s_map_in_metres_with_a_spread():
    network = new_network(MICRO_PHOTO, generator=torch.Generator().manual_seed(0))
    encoder = Photographer()
    predictor = PPDPredictor(network, encoder, metric_encoder=encoder, default_area=64 * 96)
    out = predictor.predict(photo(), config(2), area=64 * 96, generators=seeds(1, 2))
    assert out.depth_Shw.shape == out.spread_Shw.shape == (2, 64, 96)
    assert out.kind is DepthKind.AFFINE_LOG_DEPTH
    wanted = torch.linspace(1, 5, 64).log1p()[:, None].expand(64, 96)
    torch.testing.assert_close(out.depth_Shw[0], wanted, atol=1e-4, rtol=0)
    spread = math.log1p(5) - math.log1p(1)  # b = 1 in the frame, times its range
    assert out.spread_Shw.mean().item() == pytest.approx(math.sqrt(2) * spread, rel=0.1)


def test_a_correction_needs_an_encoder_with_metres():
    network = new_network(MICRO_PHOTO, generator=torch.Generator().manual_seed(0))
    with pytest.raises(ConfigError, match="gives no metres beside its semantics"):
        PPDPredictor(network, Photographer())


def test_later_corrections_start_from_the_first_when_asked():
    network = new_network(MICRO_PHOTO, generator=torch.Generator().manual_seed(0))
    draw = torch.Generator().manual_seed(1)
    torch.nn.init.normal_(network.detail.out.weight, std=0.1, generator=draw)
    encoder = Photographer()
    predictor = PPDPredictor(network, encoder, metric_encoder=encoder)
    calls = []
    network.x_embedder.register_forward_hook(lambda *_: calls.append(1))

    def maps(start):
        calls.clear()
        asked = PredictConfig(steps=4, ensemble_start=start)
        found = predictor.predict(photo(), asked, area=64 * 96, generators=seeds(1, 2))
        return found.depth_Shw

    apart = maps("noise")
    assert len(calls) == 4  # both maps of a pair side by side
    shared = maps("first")
    assert len(calls) == 4 + 2  # the second from the middle
    assert torch.equal(apart[0], shared[0]) or (apart[0] - shared[0]).abs().max() < 1e-5
    assert (apart[1] - shared[1]).abs().max() > 1e-4
