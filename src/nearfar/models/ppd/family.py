"""What PPD says about itself (nearfar/family.py): image and video network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
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
    TrainedKind,
    TrainingParts,
    TrainingTarget,
    WeightsEntry,
    embedded,
)

if TYPE_CHECKING:
    from torch import Tensor

    from nearfar.layers.prunable import PrunableUnit

    from .network import PPDNetwork
    from .predictor import PPDPredictor
    from .video_predictor import PPDVideoPredictor


_PPD_DATA = "Hypersim, UrbanSyn, UnrealStereo4K, Virtual KITTI 2, TartanAir (synthetic)"


def _parts() -> NetworkParts:
    from .config import PPDConfig
    from .network import PPDNetwork
    from .presets import PRESETS

    return NetworkParts(PPDConfig, PPDNetwork, PRESETS)


def _video_parts() -> NetworkParts:
    from .config import PPDVideoConfig
    from .presets import VIDEO_PRESETS
    from .video_network import PPDVideoNetwork

    return NetworkParts(PPDVideoConfig, PPDVideoNetwork, VIDEO_PRESETS)


def _predictor(parts: PredictorParts) -> PPDPredictor:
    from nearfar.encoders.base import metric_encoder, of_photos

    from .predictor import DEFAULT_AREA, DEFAULT_STEPS, PHOTO_AREA, PPDPredictor

    encoder = of_photos(parts.encoder)
    is_clean = parts.network.config.prediction == "clean"
    return PPDPredictor(
        parts.network.to(dtype=parts.dtype),
        encoder,
        metric_encoder=metric_encoder(encoder),
        default_steps=parts.steps or DEFAULT_STEPS,
        default_area=parts.area or (PHOTO_AREA if is_clean else DEFAULT_AREA),
        default_start=parts.start or "noise",
        dtype=parts.dtype,
    )


def _prunable(network: PPDNetwork) -> Sequence[PrunableUnit]:
    from .prunable import prunable_units

    return prunable_units(network)


def _video_predictor(parts: PredictorParts) -> PPDVideoPredictor:
    """Windows of clips; an encoder of photos is used frame by frame."""
    from nearfar.encoders.base import ClipEncoder, FrameByFrame

    from .predictor import DEFAULT_STEPS
    from .video_predictor import PPDVideoPredictor

    encoder = parts.encoder
    return PPDVideoPredictor(
        parts.network.to(dtype=parts.dtype),
        encoder if isinstance(encoder, ClipEncoder) else FrameByFrame(encoder),
        default_steps=parts.steps or DEFAULT_STEPS,
        default_area=parts.area,
        dtype=parts.dtype,
    )


def _is_image_network(tensors: Mapping[str, Tensor], prefixes: frozenset[str]) -> bool:
    has_ends = "x_embedder.proj.weight" in tensors or "final_layer.linear.weight" in tensors
    return has_ends and not _has_window(tensors, prefixes)


def _is_video_network(tensors: Mapping[str, Tensor], prefixes: frozenset[str]) -> bool:
    has_ends = "x_embedder.proj.weight" in tensors or "final_layer.linear.weight" in tensors
    return has_ends and _has_window(tensors, prefixes)


def _has_window(tensors: Mapping[str, Tensor], prefixes: frozenset[str]) -> bool:
    temporal = any(name.startswith("temporal_blocks.") for name in tensors)
    return temporal or "dit_video." in prefixes or "pos_embed" in tensors


def _read(file: ReleasedFile) -> Recognized:
    from .keys import read_released

    return read_released(file)


def _read_video(file: ReleasedFile) -> Recognized:
    from .keys import read_released_video

    return read_released_video(file)


def _released(
    name: str, encoder: str, entry: str, file: str, metrics: Mapping[str, str]
) -> WeightsEntry:
    return WeightsEntry(
        name=name,
        family="ppd",
        preset="large",
        encoder=encoder,
        file=file,
        licence=NOT_STATED,
        commercial=None,
        hub_repo="gangweix/Pixel-Perfect-Depth",
        hub_file=file,
        training_data=_PPD_DATA,
        metrics=metrics,
        size_mb=2000,
        note=f"Weight licence not stated (code: Apache-2.0). Runs with {entry}, "
        "whose licence counts too. Address not checked.",
    )


def _metrics(*pairs: str) -> Mapping[str, str]:
    """AbsRel / delta1 in percent on the five image benchmarks of PPD, as its authors report."""
    return MappingProxyType(
        dict(zip(("NYUv2", "KITTI", "ETH3D", "ScanNet", "DIODE"), pairs, strict=True))
    )


def _target(parts: TrainingParts) -> TrainingTarget:
    from .objective import image_target

    return image_target(parts)


def _video_target(parts: TrainingParts) -> TrainingTarget:
    from .video_objective import video_target

    return video_target(parts)


FAMILY = Family(
    name="ppd",
    position=1,
    networks=(
        NetworkKind(name="ppd", parts=_parts, predictor=_predictor, prunable=_prunable),
        NetworkKind(name="ppd_video", parts=_video_parts, predictor=_video_predictor),
    ),
    entries=(
        embedded("ppd-tiny", "ppd", encoder="photo", preset="tiny_photo", area=192 * 256),
        embedded(
            "ppvd-tiny",
            "ppd_video",
            encoder="tiny_video",
            preset="video_tiny",
            area=96 * 128,
            note="Video: nearfar video CLIP, or load_video in Python.",
        ),
        _released(
            "ppd-moge2",
            "moge2",
            "moge2-vitl",
            "ppd_moge.pth",
            _metrics("3.3/98.2", "5.3/97.0", "3.0/99.1", "3.5/98.1", "5.2/97.0"),
        ),
        _released(
            "ppd-dav2",
            "dav2",
            "dav2-vitl",
            "ppd.pth",
            _metrics("4.1/97.7", "7.0/95.5", "4.3/98.0", "4.6/97.2", "6.8/95.9"),
        ),
        WeightsEntry(
            name="ppvd",
            family="ppd_video",
            preset="video",
            encoder="pi3",
            file="ppvd.pth",
            licence=NOT_STATED,
            commercial=None,
            training_data=f"{_PPD_DATA}, IRS, PointOdyssey (synthetic)",
            size_mb=2250,
            note="Video. Weight licence not stated (code: Apache-2.0). Runs with pi3, whose "
            "licence counts too. No address known: put the file where `nearfar models info "
            "ppvd` says.",
        ),
    ),
    training=(
        TrainedKind(name="ppd", kind="ppd", target=_target),
        TrainedKind(name="ppd_video", kind="ppd_video", target=_video_target),
    ),
    forms=(
        ReleasedForm(name="ppd_video", is_this=_is_video_network, read=_read_video),
        ReleasedForm(name="ppd", is_this=_is_image_network, read=_read),
    ),
    prefixes=("pipeline.", "dit.", "dit_video."),
)
