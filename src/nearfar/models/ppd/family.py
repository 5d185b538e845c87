"""What PPD says about itself (nearfar/family.py): image and video network."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nearfar.family import Family, NetworkKind, NetworkParts, PredictorParts

if TYPE_CHECKING:
    from .predictor import PPDPredictor
    from .video_predictor import PPDVideoPredictor


def _parts() -> NetworkParts:
    from .config import PPDConfig
    from .network import PPDNetwork
    from .presets import PRESETS

    return NetworkParts(PPDConfig, PPDNetwork, PRESETS)


def _video_parts() -> NetworkParts:
    from .presets import VIDEO_PRESETS
    from .video_config import PPDVideoConfig
    from .video_network import PPDVideoNetwork

    return NetworkParts(PPDVideoConfig, PPDVideoNetwork, VIDEO_PRESETS)


def _predictor(parts: PredictorParts) -> PPDPredictor:
    from nearfar.encoders.base import metric_encoder, of_photos

    from .predictor import DEFAULT_AREA, DEFAULT_STEPS, PPDPredictor

    encoder = of_photos(parts.encoder)
    return PPDPredictor(
        parts.network.to(dtype=parts.dtype),
        encoder,
        metric_encoder=metric_encoder(encoder),
        default_steps=parts.steps or DEFAULT_STEPS,
        default_area=parts.area or DEFAULT_AREA,
        default_start=parts.start or "noise",
        dtype=parts.dtype,
    )


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


FAMILY = Family(
    name="ppd",
    position=1,
    networks=(
        NetworkKind(name="ppd", parts=_parts, predictor=_predictor),
        NetworkKind(name="ppd_video", parts=_video_parts, predictor=_video_predictor),
    ),
)
