"""Photo to metres: sizes, mirrored twin, spread, early stop, Model.predict."""

import dataclasses

import numpy as np
import pytest
import torch

from nearfar.errors import ConfigError
from nearfar.models.dar.network import new_network
from nearfar.models.dar.predictor import DARPredictor
from nearfar.models.dar.presets import MICRO_PHOTO
from nearfar.pipeline.predict import Model
from nearfar.predict_config import PredictConfig
from nearfar.result import DepthKind
from nearfar.weights.load import LoadedModel
from nearfar.weights.registry import find


def asked(steps, **more):
    return PredictConfig(steps=steps, **more)


def photo(height=60, width=90):
    return torch.rand(3, height, width, generator=torch.Generator().manual_seed(0))


def seeds(count):
    return [torch.Generator().manual_seed(i) for i in range(count)]


@pytest.fixture
def predictor(micro):
    return DARPredictor(micro())


def test_metres_spread_and_reference_at_network_size(predictor):
    out = predictor.predict(photo(), asked(1), area=32 * 48, generators=seeds(1))
    assert out.kind is DepthKind.METRIC
    assert out.depth_Shw.shape == out.spread_Shw.shape == (1, 32, 48)
    assert out.depth_Shw.dtype == torch.float32 and (out.depth_Shw > 0).all()
    assert (out.spread_Shw > 0).all()
    assert out.guide_hw3.shape == (32, 48, 3)
    assert out.reference.name == "tiny" and out.reference.depth_HW.shape == (32, 48)
    assert (predictor.default_steps, predictor.default_area) == (1, 32 * 48)


def test_the_second_hypothesis_is_the_mirrored_photo(predictor):
    two = predictor.predict(photo(), asked(1), area=1536, generators=seeds(2))
    mirrored = predictor.predict(photo().flip(-1), asked(1), area=1536, generators=seeds(2))
    torch.testing.assert_close(
        two.depth_Shw[0], mirrored.depth_Shw[1].flip(-1), rtol=1e-4, atol=1e-4
    )
    torch.testing.assert_close(
        two.depth_Shw[1], mirrored.depth_Shw[0].flip(-1), rtol=1e-4, atol=1e-4
    )
    three = predictor.predict(photo(), asked(1), area=1536, generators=seeds(3))
    assert torch.equal(three.depth_Shw[2], three.depth_Shw[0])
    assert three.depth_Shw.shape == three.spread_Shw.shape == (3, 32, 48)


def test_stopping_early_is_coarser(predictor, micro):
    whole = predictor.predict(photo(), asked(1), area=1536, generators=seeds(1))
    one = predictor.predict(photo(), asked(1, stop_at=1), area=1536, generators=seeds(1))
    assert not torch.equal(one.depth_Shw, whole.depth_Shw)
    assert (whole.spread_Shw > 0.1 * whole.depth_Shw).all()  # by the first step's bins
    paper = DARPredictor(micro(spread_of_first=False))
    spreads = [
        paper.predict(photo(), asked(1, stop_at=k), area=1536, generators=seeds(1)).spread_Shw
        for k in (1, 5)
    ]
    assert spreads[0].mean() > 5 * spreads[1].mean()
    always = DARPredictor(micro(), stop_at=1)
    same = always.predict(photo(), asked(1), area=1536, generators=seeds(1))
    assert torch.equal(one.depth_Shw, same.depth_Shw)


def test_refusals(predictor, micro):
    with pytest.raises(ConfigError, match=r"stop_at: 6 is not within 1\.\.5"):
        DARPredictor(micro(), stop_at=6)
    with pytest.raises(ConfigError, match="steps: 4, but DAR runs its K steps once"):
        predictor.predict(photo(), asked(4), area=1536, generators=seeds(1))
    with pytest.raises(ConfigError, match="no generator"):
        predictor.predict(photo(), asked(1), area=1536, generators=[])


def test_bfloat16_stays_close(predictor, micro):
    exact = predictor.predict(photo(), asked(1), area=1536, generators=seeds(1)).depth_Shw
    before = micro().encoder.backbone.state_dict()
    low = DARPredictor(micro(), dtype=torch.bfloat16)
    for name, tensor in low.network.encoder.backbone.state_dict().items():
        assert torch.equal(tensor, before[name])  # not through bf16 and back
    assert low.network.gru.convz1.weight.dtype == torch.bfloat16
    assert low.network.encoder.backbone.stem[0].weight.dtype == torch.float32
    found = low.predict(photo(), asked(1), area=1536, generators=seeds(1)).depth_Shw
    assert found.dtype == torch.float32
    assert (found.log() - exact.log()).abs().median() < 0.05


def test_on_the_photo_encoder():
    network = new_network(MICRO_PHOTO, generator=torch.Generator().manual_seed(0))
    predictor = DARPredictor(network, dtype=torch.bfloat16)
    assert predictor.default_area == 64 * 64
    assert network.encoder.backbone.decoder.maps.weight.dtype == torch.float32
    out = predictor.predict(photo(), asked(1), area=64 * 64, generators=seeds(2))
    assert out.depth_Shw.shape == out.spread_Shw.shape == (2, 64, 64)
    assert out.reference.name == "photo" and out.reference.depth_HW.shape == (64, 64)


def test_extreme_photos(predictor):
    for size in ((1, 1), (16, 400), (300, 9)):
        out = predictor.predict(photo(*size), asked(1), area=1536, generators=seeds(1))
        assert out.depth_Shw.isfinite().all()


def test_model_predict_gives_metres_with_uncertainty(predictor):
    entry = dataclasses.replace(find("ppd-tiny"), name="dar-random", family="dar")
    model = Model(LoadedModel(predictor, entry, "0" * 64))
    rgb = (255 * photo().permute(1, 2, 0)).to(torch.uint8).numpy()
    with torch.no_grad():  # a fresh sky head says anything
        predictor.network.encoder.backbone.maps.weight[1] = 0
        predictor.network.encoder.backbone.maps.bias[1] = -5
    result = model.predict(rgb)
    assert result.kind is DepthKind.METRIC and result.metric_reference == "dar-random"
    assert result.depth.shape == (60, 90) and result.valid.all()
    assert (result.depth > 0.1).all() and (result.uncertainty > 0).all()
    assert result.intrinsics is not None
    again, pair = model.predict(rgb, seed=3), model.predict(rgb, ensemble_size=2)
    assert np.array_equal(again.depth, result.depth)  # nothing is drawn
    assert not np.array_equal(pair.uncertainty, result.uncertainty)
