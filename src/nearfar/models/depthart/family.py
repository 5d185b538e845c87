"""What DepthART says about itself (nearfar/family.py), and about the VAR that it starts from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from nearfar.family import (
    NOT_STATED,
    Family,
    NetworkKind,
    NetworkParts,
    PredictorParts,
    Recognized,
    ReleasedFile,
    ReleasedForm,
    TrainedKind,
    TrainingParts,
    TrainingTarget,
    WeightsEntry,
    embedded,
)

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor

    from .predictor import DepthARTPredictor


def _parts() -> NetworkParts:
    from .config import DepthARTConfig
    from .network import DepthARTNetwork
    from .presets import PRESETS

    return NetworkParts(DepthARTConfig, DepthARTNetwork, PRESETS)


def _var_parts() -> NetworkParts:
    from .config import DepthARTConfig
    from .presets import VAR_PRESETS
    from .transformer import VARAlone

    return NetworkParts(DepthARTConfig, VARAlone, VAR_PRESETS)


def _predictor(parts: PredictorParts) -> DepthARTPredictor:
    from nearfar.encoders.base import metric_encoder, of_photos

    from .predictor import DepthARTPredictor

    takes_semantics = parts.network.config.semantics_width > 0
    return DepthARTPredictor(
        parts.network.float(),  # what is folded and what stays float32 must not start from halves
        of_photos(parts.encoder) if takes_semantics else None,
        metric_encoder=metric_encoder(parts.encoder),
        dtype=parts.dtype,
    )


def _var(preset: str, size_mb: float) -> WeightsEntry:
    return WeightsEntry(
        name=f"var-{preset}",
        family="var",
        preset=preset,
        encoder="",
        file=f"var_{preset}.pth",
        licence=NOT_STATED,
        commercial=None,
        hub_repo="FoundationVision/var",
        hub_file=f"var_{preset}.pth",
        training_data="ImageNet-1k",
        size_mb=size_mb,
        note="Makes images of classes; DepthART starts from it (train.init_from). Weight licence "
        "not stated (code: MIT). Address not checked.",
    )


def _is_var(tensors: Mapping[str, Tensor], prefixes: frozenset[str]) -> bool:
    """Whether it is a DepthART, or the VAR that it starts from."""
    return "blocks.0.attn.mat_qkv.weight" in tensors


def _read(file: ReleasedFile) -> Recognized:
    from .keys import TOKENIZER, from_published

    config, tensors, dropped = from_published(file.tensors, where=file.path)
    is_whole = any(name.startswith(TOKENIZER) for name in tensors)
    kind = "depthart" if is_whole else "var"
    return Recognized(kind=kind, config=config, tensors=tensors, dropped=dropped)


def _target(parts: TrainingParts) -> TrainingTarget:
    from .objective import dynamic_target

    return dynamic_target(parts)


def _teacher_target(parts: TrainingParts) -> TrainingTarget:
    from .objective import teacher_target

    return teacher_target(parts)


def _start_from(content: Mapping[str, Any], where: Path) -> Mapping[str, Tensor] | None:
    """The transformer of a published VAR, or a published DepthART."""
    from .keys import from_published, is_published

    return from_published(content, where=where).tensors if is_published(content) else None


FAMILY = Family(
    name="depthart",
    position=2,
    networks=(
        NetworkKind(name="depthart", parts=_parts, predictor=_predictor),
        NetworkKind(
            name="var",
            parts=_var_parts,
            instead=(
                "a VAR file, which makes images of classes: no tokenizer in it, no depth learned",
                "Give DepthART's model.safetensors; or train from this one: train.init_from=FILE "
                "train.init_strict=false",
            ),
        ),
    ),
    entries=(
        embedded("depthart-tiny", "depthart"),
        WeightsEntry(
            name="depthart",
            family="depthart",
            preset="depthart",
            encoder="",
            file="depthart.safetensors",
            licence=NOT_STATED,
            commercial=None,
            hub_file="DepthART's model.safetensors",
            training_data="Hypersim, from VAR-d16 (ImageNet-1k)",
            size_mb=1680,
            note="Depth up to a factor. On its authors' Google Drive only. Weight licence not "
            "stated (code: MIT).",
        ),
        _var("d16", 1240),
        _var("d20", 2400),
        _var("d24", 4130),
        _var("d30", 8040),
        _var("d36", 9420),
    ),
    training=(
        TrainedKind(name="depthart", kind="depthart", target=_target),
        TrainedKind(name="depth_var", kind="depthart", target=_teacher_target),
    ),
    start_from=_start_from,
    forms=(ReleasedForm(name="depthart", is_this=_is_var, read=_read),),
    nests=("trainer", "var_wo_ddp"),
)
