"""A small DAR network with fresh weights, asked as an evaluation asks a model."""

import dataclasses
from dataclasses import replace

import torch

from nearfar.eval.predictions import EstimateSettings, ModelEstimator
from nearfar.models.dar.network import new_network
from nearfar.models.dar.predictor import DARPredictor
from nearfar.models.dar.presets import MICRO
from nearfar.pipeline.predict import Model
from nearfar.weights.load import LoadedModel
from nearfar.weights.registry import find

NETWORK = replace(MICRO, has_prior=False)


class Seen(Model):
    """A model that keeps the photos it was asked for."""

    def predict(self, rgb, **options):
        self.__dict__.setdefault("photos", []).append(rgb)
        return super().predict(rgb, **options)


def micro_model():
    """A model whose encoder never says sky."""
    network = new_network(NETWORK, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        network.encoder.backbone.maps.weight[1] = 0
        network.encoder.backbone.maps.bias[1] = -5
    entry = dataclasses.replace(find("ppd-tiny"), name="dar-micro", family="dar")
    return Seen(LoadedModel(DARPredictor(network), entry, "0" * 64))


def estimator_of(model, protocol):
    """As `nearfar eval run` asks the model; the probe's photo is forgotten."""
    made = ModelEstimator(
        model,
        accepts=protocol.prediction.accepts,
        protocol=protocol.id,
        settings=EstimateSettings(),
    )
    model.photos.clear()
    return made
