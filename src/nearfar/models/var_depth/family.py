"""What VAR-Depth says about itself (nearfar/family.py), and about the Switti it starts from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from nearfar.family import (
    NOT_STATED,
    Family,
    NetworkKind,
    NetworkParts,
    PredictorParts,
    Recognized,
    ReleasedFile,
    ReleasedForm,
    ReleasedPart,
    TrainedKind,
    TrainingParts,
    TrainingTarget,
    WeightsEntry,
    embedded,
)

if TYPE_CHECKING:
    from torch import Tensor

    from .predictor import VarDepthPredictor


def _parts() -> NetworkParts:
    from .config import VarDepthConfig
    from .network import VarDepthNetwork
    from .presets import PRESETS

    return NetworkParts(VarDepthConfig, VarDepthNetwork, PRESETS)


def _switti_parts() -> NetworkParts:
    from .config import VarDepthConfig
    from .presets import COMPAT
    from .transformer import SwittiAlone

    return NetworkParts(VarDepthConfig, SwittiAlone, {"512": COMPAT})


def _predictor(parts: PredictorParts) -> VarDepthPredictor:
    from nearfar.encoders.base import metric_encoder, of_photos

    from .predictor import VarDepthPredictor
    from .sample import Choose

    takes_semantics = parts.network.config.semantics_width > 0
    return VarDepthPredictor(
        parts.network.float(),
        of_photos(parts.encoder) if takes_semantics else None,
        metric_encoder=metric_encoder(parts.encoder),
        choose=None if parts.mode is None else Choose(mode=parts.mode),
        guidance_scale=parts.guidance or 0.0,
        dtype=parts.dtype,
    )


def _is_switti(tensors: Mapping[str, Tensor], prefixes: frozenset[str]) -> bool:
    return "text_pooler.weight" in tensors and "blocks.0.cross_attn.to_kv.weight" in tensors


def _read(file: ReleasedFile) -> Recognized:
    from .keys import from_switti

    part = from_switti(file.tensors, where=file.path)
    return Recognized(kind="switti", config=part.config, tensors=part.tensors, dropped=part.dropped)


def _target(parts: TrainingParts) -> TrainingTarget:
    from .objective import target

    return target(parts)


def _upsampler_target(parts: TrainingParts) -> TrainingTarget:
    from .objective import upsampler_target

    return upsampler_target(parts)


_WHOLE = "Files of whole VAR-Depth models are those that nearfar train writes"

FAMILY = Family(
    name="var_depth",
    position=3,
    networks=(
        NetworkKind(name="var_depth", parts=_parts, predictor=_predictor),
        NetworkKind(
            name="switti",
            parts=_switti_parts,
            instead=(
                "a Switti file, which makes images of texts: no tokenizer in it, no depth learned",
                "Train VAR-Depth from it: train.init_from=FILE train.init_strict=false",
            ),
        ),
    ),
    entries=(
        embedded("var-depth-tiny", "var_depth"),
        WeightsEntry(
            name="switti-512",
            family="switti",
            preset="512",
            encoder="",
            file="switti.safetensors",
            licence=NOT_STATED,
            commercial=None,
            hub_repo="yresearch/Switti",
            hub_file="model.safetensors",
            size_mb=9880,
            note="Makes images of texts; VAR-Depth starts from it (train.init_from). Weight "
            "licence not stated (code: Apache-2.0). Address and file name not checked.",
        ),
    ),
    training=(
        TrainedKind(name="var_depth", kind="var_depth", target=_target),
        TrainedKind(
            name="var_depth_upsampler",
            kind="var_depth",
            target=_upsampler_target,
            trains_part=True,
        ),
    ),
    forms=(ReleasedForm(name="switti", is_this=_is_switti, read=_read),),
    parts=(
        ReleasedPart(
            mark="static_prefix_context_scales",
            finding="the adapter of VAR-Depth alone, without Switti and tokenizer",
            remedy=_WHOLE,
        ),
        ReleasedPart(
            mark="mid_block.resnets.0.conv1.weight",
            finding="the second stage of VAR-Depth alone, which sharpens depth that it is given",
            remedy=_WHOLE,
        ),
    ),
    nests=("unet_state_dict",),
)
