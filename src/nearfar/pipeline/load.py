"""`load`: a model by its name in the registry, or from a folder or file of weights."""

from __future__ import annotations

from pathlib import Path

from nearfar.errors import ConfigError
from nearfar.settings import own_precision, pick_device, pick_dtype
from nearfar.weights.load import load_predictor

from .config import DEFAULT_MODEL
from .predict import Model


def load(
    name: str | Path = DEFAULT_MODEL,
    *,
    device: str = "auto",
    dtype: str = "auto",
    accept_license: bool = False,
    encoder: str | Path | None = None,
    metric_from: str | Path | None = None,
) -> Model:
    """The model of a name (see `nearfar models list`), or of a folder or file of weights.

    device: auto, cpu, cuda, mps, xpu. dtype: auto, fp32, bf16, fp16. Weights under a
    non-commercial licence need accept_license=True once. encoder: name or file, where it is not
    the one the weights' tag stands for. metric_from: a model whose metres are given to maps known
    up to a factor; default: the guess of their encoder. Errors: ConfigError (a video model among
    others), WeightsError.
    """
    place = pick_device(device)
    with own_precision(place.type):
        loaded = load_predictor(
            name,
            device=place,
            dtype=pick_dtype(dtype, place),
            accept_license=accept_license,
            encoder=encoder,
        )
    if loaded.is_video:
        raise ConfigError(
            loaded.entry.name,
            "a video model: it sees a window of frames, not one photo",
            "Use `nearfar video` (nearfar.pipeline.video.load.load_video), or another model",
        )
    if metric_from is None:
        return Model(loaded)
    other = load(metric_from, device=device, dtype=dtype, accept_license=accept_license)
    return Model(loaded).with_metres_of(other)
