import pytest
import torch
from torch import nn

from nearfar.encoders.base import MetricGuess
from nearfar.errors import ConfigError
from nearfar.models.var_depth.predictor import VarDepthPredictor
from nearfar.models.var_depth.sample import Choose
from nearfar.predict_config import PredictConfig
from nearfar.result import DepthKind
from nearfar.tokenizers.presets import MICRO as FOUR_SCALES

SMALL = {"config": PredictConfig(steps=1), "area": 1600}


def seeds(*numbers):
    return [torch.Generator().manual_seed(number) for number in numbers]


@pytest.fixture
def image(generator):
    return torch.rand(3, 48, 64, generator=generator)


def test_hypotheses_belong_to_their_generators(micro, image):
    predictor = VarDepthPredictor(micro())
    assert (predictor.default_steps, predictor.default_area) == (1, 1600)
    found = predictor.predict(image, generators=seeds(1, 2), **SMALL)
    alone = predictor.predict(image, generators=seeds(2), **SMALL)
    assert found.depth_Shw.shape == (2, 40, 40) and found.guide_hw3.shape == (40, 40, 3)
    assert found.kind is DepthKind.AFFINE_LOG_DEPTH and found.reference is None
    assert found.depth_Shw.dtype == torch.float32
    torch.testing.assert_close(found.depth_Shw[1:], alone.depth_Shw, atol=1e-4, rtol=0)
    assert (found.depth_Shw[0] - found.depth_Shw[1]).abs().max() > 0.01


def test_greedy_draws_nothing_and_gives_as_many_as_asked(micro, image):
    predictor = VarDepthPredictor(micro(), choose=Choose(mode="greedy"))
    generators = seeds(1, 2)
    before = generators[0].get_state()
    found = predictor.predict(image, generators=generators, **SMALL)
    assert torch.equal(found.depth_Shw[0], found.depth_Shw[1])
    assert torch.equal(generators[0].get_state(), before)


@pytest.mark.parametrize("curve", ["linear_q98", "sqrt_disparity", "linear"])
def test_kind_follows_the_curve_and_ratios_stay_finite(micro, image, curve):
    predictor = VarDepthPredictor(micro(curve=curve))
    found = predictor.predict(image, generators=seeds(1), **SMALL)
    wanted = "affine_depth" if curve == "linear" else "scale_invariant"
    assert found.kind.value == wanted
    assert curve == "linear" or found.depth_Shw.min() > 0


def test_guidance_of_the_call_comes_before_that_of_the_predictor(micro, image):
    network = micro()
    greedy = Choose(mode="greedy")
    plain = VarDepthPredictor(network, choose=greedy)
    guided = VarDepthPredictor(network, choose=greedy, guidance_scale=4.0)
    run = {"generators": seeds(1), **SMALL}
    strong = plain.predict(image, **run | {"config": PredictConfig(guidance_scale=4.0)}).depth_Shw
    assert torch.equal(guided.predict(image, **run).depth_Shw, strong)
    none = guided.predict(image, **run | {"config": PredictConfig(guidance_scale=0.0)}).depth_Shw
    assert torch.equal(plain.predict(image, **run).depth_Shw, none)
    assert (strong - none).abs().max() > 1e-3


def test_guidance_without_an_unconditional_branch_is_refused(micro, image):
    network = micro(has_null=False)
    with pytest.raises(ConfigError, match="no unconditional branch"):
        VarDepthPredictor(network, guidance_scale=1.0)
    predictor = VarDepthPredictor(network)
    with pytest.raises(ConfigError, match="no unconditional branch"):
        predictor.predict(image, PredictConfig(guidance_scale=1.0), generators=seeds(1), area=1600)
    with pytest.raises(ConfigError, match="guidance_scale"):
        VarDepthPredictor(micro(), guidance_scale=-1.0)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"config": PredictConfig(steps=4)}, "10 fixed stages"),
        ({"area": 999}, "40x40"),
        ({"generators": []}, "generat"),
    ],
)
def test_what_has_no_meaning_is_refused(micro, image, change, words):
    request = {"generators": seeds(1), **SMALL} | change
    with pytest.raises(ConfigError, match=words):
        VarDepthPredictor(micro()).predict(image, **request)


def test_second_stage_gives_the_size_it_works_at(micro, image):
    network = micro(upsampler="residual", upsampler_widths=(32, 32))
    found = VarDepthPredictor(network).predict(image, generators=seeds(1), **SMALL)
    assert found.depth_Shw.shape == (1, 48, 64) and found.guide_hw3.shape == (48, 64, 3)


class MetricMade(nn.Module):
    name, width, stride = "made", 6, 4

    def semantics(self, image_B3HW):
        return torch.ones(len(image_B3HW), 100, 6)

    def metric(self, image_B3HW):
        self.size_hw = image_B3HW.shape[-2:]
        depth = image_B3HW[:, 0] + 2
        return MetricGuess(depth, depth > 0, torch.tensor([55.0]))


def test_metric_reference_lies_on_the_map(micro, image):
    encoder = MetricMade()
    network = micro(photo="encoder", semantics_width=6)
    with pytest.raises(ConfigError, match="no encoder"):
        VarDepthPredictor(network)
    predictor = VarDepthPredictor(network, encoder, metric_encoder=encoder)
    reference = predictor.predict(image, generators=seeds(1), **SMALL).reference
    assert reference.depth_HW.shape == reference.valid_HW.shape == (40, 40)
    assert reference.fov_x_deg == 55 and reference.name == "made" and reference.depth_HW.min() >= 2
    assert encoder.size_hw == (36, 48)  # near 40 x 40 pixels, in the photo's own shape
    encoder.stride = 8  # sees twice the side
    found = predictor.predict(image, generators=seeds(1), **SMALL)
    assert encoder.size_hw == (72, 96) and found.reference.depth_HW.shape == (40, 40)
    assert found.depth_Shw.shape == (1, 40, 40) and found.guide_hw3.shape == (40, 40, 3)


def test_other_numbers_of_stages_are_refused(micro):
    with pytest.raises(ConfigError, match="10 fixed stages"):
        VarDepthPredictor(micro(tokenizer=FOUR_SCALES))


def test_weights_of_a_half_precision_file_run(micro, image):
    network = micro()
    wanted = VarDepthPredictor(network).predict(image, generators=seeds(1), **SMALL)
    found = VarDepthPredictor(network.half()).predict(image, generators=seeds(1), **SMALL)
    assert found.depth_Shw.shape == wanted.depth_Shw.shape and found.depth_Shw.isfinite().all()
    dtypes = {name: value.dtype for name, value in network.named_parameters()}
    assert set(dtypes.values()) == {torch.float32}


def test_bfloat16_runs(micro, image):
    predictor = VarDepthPredictor(micro(), dtype=torch.bfloat16)
    found = predictor.predict(image, generators=seeds(1), **SMALL)
    assert found.depth_Shw.dtype == torch.float32 and found.depth_Shw.isfinite().all()
