"""`load_video`: a model by name, as something that streams a clip."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, cast

from nearfar.errors import ConfigError
from nearfar.settings import own_precision, pick_device, pick_dtype
from nearfar.weights.load import load_predictor

from ..config import DEFAULT_MODEL
from ..predict import Model
from .per_frame import PerFrame
from .windows import Windowed

if TYPE_CHECKING:
    from nearfar.models.base import VideoPredictor
    from nearfar.weights.load import LoadedModel

    from .state import ClipModel


def load_video(
    name: str | Path = DEFAULT_MODEL,
    *,
    device: str = "auto",
    dtype: str = "auto",
    accept_license: bool = False,
    per_frame: bool = False,
) -> ClipModel:
    """The model of a name or file of weights, for clips.

    per_frame: take an image model and use it on every frame; without it a video model is wanted.
    Errors: ConfigError (the other sort of model), WeightsError.
    """
    place = pick_device(device)
    with own_precision(place.type):
        loaded = load_predictor(
            name, device=place, dtype=pick_dtype(dtype, place), accept_license=accept_license
        )
    return clip_model(loaded, per_frame=per_frame)


def load_either(
    name: str | Path = DEFAULT_MODEL,
    *,
    device: str = "auto",
    dtype: str = "auto",
    accept_license: bool = False,
) -> Model | Windowed:
    """The model of a name or file of weights: for photos, or, of a video model, for clips."""
    place = pick_device(device)
    with own_precision(place.type):
        loaded = load_predictor(
            name, device=place, dtype=pick_dtype(dtype, place), accept_license=accept_license
        )
    if loaded.is_video:
        return Windowed(cast("VideoPredictor", loaded.predictor), loaded)
    return Model(loaded)


def clip_model(loaded: LoadedModel, *, per_frame: bool) -> ClipModel:
    """A loaded model as a model of clips; ConfigError if it is the other sort."""
    if loaded.is_video and per_frame:
        raise ConfigError("--per-frame", f"{loaded.entry.name} is a video model", "Leave it out")
    if loaded.is_video:
        return Windowed(cast("VideoPredictor", loaded.predictor), loaded)
    if not per_frame:
        raise ConfigError(
            loaded.entry.name, "this model sees one frame at a time", "Add --per-frame"
        )
    return PerFrame(Model(loaded))
