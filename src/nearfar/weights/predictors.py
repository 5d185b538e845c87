"""From a network to its family's predictor: one builder a family, found in a table."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import torch
from torch import nn

from nearfar.encoders.base import ClipEncoder, FrameByFrame, MetricEncoder
from nearfar.encoders.depth_anything_v2 import DepthAnythingV2
from nearfar.encoders.moge2 import MoGe2
from nearfar.encoders.photo import PhotoEncoder
from nearfar.encoders.pi3 import Pi3
from nearfar.encoders.tiny import TinyEncoder
from nearfar.encoders.tiny_video import TinyVideoEncoder
from nearfar.errors import WeightsError
from nearfar.models.base import Predictor
from nearfar.models.dar.predictor import DARPredictor
from nearfar.models.depthart.network import DepthARTNetwork
from nearfar.models.depthart.predictor import DepthARTPredictor
from nearfar.models.ppd.network import PPDNetwork
from nearfar.models.ppd.predictor import (
    DEFAULT_AREA,
    DEFAULT_STEPS,
    PHOTO_AREA,
    EnsembleStart,
    PPDPredictor,
)
from nearfar.models.ppd.video_predictor import PPDVideoPredictor
from nearfar.models.var_depth.choose import Choose
from nearfar.models.var_depth.network import VarDepthNetwork
from nearfar.models.var_depth.predictor import VarDepthPredictor

from .registry import ENCODER_FAMILIES

OfPhotos = TinyEncoder | PhotoEncoder | DepthAnythingV2 | MoGe2
Encoder = OfPhotos | Pi3 | TinyVideoEncoder

# families that give no depth by themselves: what they are, what to do instead
_NO_DEPTH: Mapping[str, tuple[str, str]] = {
    "var": (
        "a VAR file, which makes images of classes: no tokenizer in it, no depth learned",
        "Give DepthART's model.safetensors; or train from this one: train.init_from=FILE "
        "train.init_strict=false",
    ),
    "switti": (
        "a Switti file, which makes images of texts: no tokenizer in it, no depth learned",
        "Train VAR-Depth from it: train.init_from=FILE train.init_strict=false",
    ),
    "depth_tokenizer": (
        "a tokenizer, not a depth model",
        "Load the model whose codes it holds, such as depthart-tiny",
    ),
}


class Parts(NamedTuple):
    """What a predictor is made of. encoder: None where the family needs none and none is given.

    area, steps, guidance: network pixels, calls and guidance scale when none are asked for.
    mode: how VAR-Depth chooses codes. start: of PPD's later hypotheses. None = the family's own.
    """

    network: Any
    encoder: Encoder | None
    dtype: torch.dtype
    area: int | None
    steps: int | None
    guidance: float | None = None
    mode: str | None = None
    start: EnsembleStart | None = None

    @property
    def photo(self) -> OfPhotos | None:
        """The encoder, which must be one of photos; WeightsError for one of clips."""
        if isinstance(self.encoder, Pi3 | TinyVideoEncoder):
            raise WeightsError(self.encoder.name, "an encoder of clips; this model sees photos")
        return self.encoder

    @property
    def metric(self) -> MetricEncoder | None:
        """The encoder where it knows metres: tiny always, MoGe-2 with its decoder, DAv2 never."""
        if isinstance(self.encoder, TinyEncoder | PhotoEncoder):
            return self.encoder
        if isinstance(self.encoder, MoGe2) and self.encoder.config.is_metric:
            return self.encoder
        return None


def build_predictor(family: str, parts: Parts) -> Predictor:
    """The predictor of a depth family; see `require_depth`."""
    return _BUILDERS[family](parts)


def require_depth(family: str, where: object) -> None:
    """Pass if weights of this family predict depth; WeightsError says what they are instead."""
    if family in _BUILDERS:
        return
    if family in ENCODER_FAMILIES:
        finding = f"an encoder ({family}), not a depth model"
        raise WeightsError(where, finding, "Load the model that runs with it, such as ppd-tiny")
    raise WeightsError(where, *_NO_DEPTH[family])


def semantics_width(network: nn.Module) -> int:
    """How wide the semantics of an encoder must be; 0 if the network takes none."""
    if isinstance(network, PPDNetwork | DepthARTNetwork | VarDepthNetwork):
        return network.config.semantics_width
    return 0


def _ppd(parts: Parts) -> Predictor:
    assert parts.photo is not None
    is_clean = parts.network.config.prediction == "clean"
    area = PHOTO_AREA if is_clean else DEFAULT_AREA
    return PPDPredictor(
        parts.network.to(dtype=parts.dtype),
        parts.photo,
        metric_encoder=parts.metric,
        default_steps=parts.steps or DEFAULT_STEPS,
        default_area=parts.area or area,
        default_start=parts.start or "noise",
        dtype=parts.dtype,
    )


def _ppd_video(parts: Parts) -> Any:
    """A `VideoPredictor`: windows of clips; an encoder of photos is used frame by frame."""
    assert parts.encoder is not None
    encoder = parts.encoder
    return PPDVideoPredictor(
        parts.network.to(dtype=parts.dtype),
        encoder if isinstance(encoder, ClipEncoder) else FrameByFrame(encoder),
        default_steps=parts.steps or DEFAULT_STEPS,
        default_area=parts.area,
        dtype=parts.dtype,
    )


def _depthart(parts: Parts) -> Predictor:
    return DepthARTPredictor(
        parts.network.float(),  # what is folded and what stays float32 must not start from halves
        parts.photo if semantics_width(parts.network) else None,
        metric_encoder=parts.metric,
        dtype=parts.dtype,
    )


def _var_depth(parts: Parts) -> Predictor:
    return VarDepthPredictor(
        parts.network.float(),
        parts.photo if semantics_width(parts.network) else None,
        metric_encoder=parts.metric,
        choose=None if parts.mode is None else Choose(mode=parts.mode),
        guidance_scale=parts.guidance or 0.0,
        dtype=parts.dtype,
    )


def _dar(parts: Parts) -> Predictor:
    return DARPredictor(parts.network, default_area=parts.area, dtype=parts.dtype)


_BUILDERS: Mapping[str, Callable[[Parts], Predictor]] = {
    "ppd": _ppd,
    "ppd_video": _ppd_video,
    "depthart": _depthart,
    "var_depth": _var_depth,
    "dar": _dar,
}
