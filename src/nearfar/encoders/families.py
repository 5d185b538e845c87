"""What encoders say about themselves (nearfar/family.py)."""

from __future__ import annotations

from nearfar.family import (
    NON_COMMERCIAL,
    Family,
    NetworkKind,
    NetworkParts,
    WeightsEntry,
    embedded,
)

_DAV2_DATA = "595 K synthetic images for the teacher, its labels on 62 M photos for these weights"


def _tiny() -> NetworkParts:
    from .tiny import PRESETS, TinyEncoder, TinyEncoderConfig

    return NetworkParts(TinyEncoderConfig, TinyEncoder, PRESETS)


def _photo() -> NetworkParts:
    from .photo import PRESETS, PhotoEncoder, PhotoEncoderConfig

    return NetworkParts(PhotoEncoderConfig, PhotoEncoder, PRESETS)


def _dav2() -> NetworkParts:
    from .depth_anything_v2 import DepthAnythingV2
    from .dinov2 import PRESETS, DinoV2Config

    return NetworkParts(DinoV2Config, DepthAnythingV2, PRESETS)


def _moge2() -> NetworkParts:
    from .moge2 import MoGe2
    from .moge2_config import PRESETS, MoGe2Config

    return NetworkParts(MoGe2Config, MoGe2, PRESETS)


def _pi3() -> NetworkParts:
    from .pi3 import PRESETS, Pi3, Pi3Config

    return NetworkParts(Pi3Config, Pi3, PRESETS)


def _tiny_video() -> NetworkParts:
    from .tiny_video import PRESETS, TinyVideoConfig, TinyVideoEncoder

    return NetworkParts(TinyVideoConfig, TinyVideoEncoder, PRESETS)


def _dav2_entry(letter: str, size: str, licence: str, size_mb: float) -> WeightsEntry:
    return WeightsEntry(
        name=f"dav2-vit{letter}",
        family="depth_anything_v2",
        preset=f"vit{letter}",
        encoder="dav2",
        file=f"depth_anything_v2_vit{letter}.pth",
        licence=licence,
        is_encoder=True,
        commercial=licence != NON_COMMERCIAL,
        hub_repo=f"depth-anything/Depth-Anything-V2-{size}",
        hub_file=f"depth_anything_v2_vit{letter}.pth",
        training_data=_DAV2_DATA,
        size_mb=size_mb,
        note="Semantics only (PPD large needs vitl). Check the model card. Address not checked.",
    )


TINY = Family(
    name="tiny_encoder",
    position=10,
    networks=(NetworkKind(name="tiny_encoder", parts=_tiny, is_encoder=True, is_exact=True),),
    entries=(embedded("tiny-encoder", "tiny_encoder", is_encoder=True),),
    serves={"tiny": "tiny-encoder"},
)
PHOTO = Family(
    name="photo_encoder",
    position=11,
    networks=(NetworkKind(name="photo_encoder", parts=_photo, is_encoder=True),),
)
TINY_VIDEO = Family(
    name="tiny_video_encoder",
    position=12,
    networks=(
        NetworkKind(
            name="tiny_video_encoder",
            parts=_tiny_video,
            is_encoder=True,
            is_exact=True,
            stem="stem.",
        ),
    ),
    entries=(
        embedded(
            "tiny-video-encoder",
            "tiny_video_encoder",
            encoder="tiny_video",
            note="Semantics of clips for ppvd-tiny; its file holds what stands on tiny-encoder.",
            is_encoder=True,
        ),
    ),
    serves={"tiny_video": "tiny-video-encoder"},
)
MOGE2 = Family(
    name="moge2",
    position=14,
    networks=(NetworkKind(name="moge2", parts=_moge2, is_encoder=True),),
    entries=(
        WeightsEntry(
            name="moge2-vitl",
            family="moge2",
            preset="vitl",
            encoder="moge2",
            file="moge2.pt",
            licence="MIT",
            is_encoder=True,
            commercial=True,
            hub_repo="Ruicheng/moge-2-vitl-normal",
            hub_file="model.pt",
            training_data="mixture of synthetic and real sets (see arXiv 2507.02546)",
            size_mb=1320,
            note="Semantics, metric depth and field of view. Address not checked.",
        ),
    ),
    serves={"moge2": "moge2-vitl"},
)
PI3 = Family(
    name="pi3",
    position=15,
    networks=(NetworkKind(name="pi3", parts=_pi3, is_encoder=True),),
    entries=(
        WeightsEntry(
            name="pi3",
            family="pi3",
            preset="vitl",
            encoder="pi3",
            file="pi3.safetensors",
            licence=NON_COMMERCIAL,
            is_encoder=True,
            commercial=False,
            size_mb=3840,
            note="Semantics of clips for ppvd; its heads for points and cameras are left out "
            "(code: BSD-3). No address known: put the file where `nearfar models info pi3` "
            "says.",
        ),
    ),
    serves={"pi3": "pi3"},
)
DEPTH_ANYTHING_V2 = Family(
    name="depth_anything_v2",
    position=13,
    networks=(NetworkKind(name="depth_anything_v2", parts=_dav2, is_encoder=True),),
    entries=(
        _dav2_entry("s", "Small", "Apache-2.0", 99),
        _dav2_entry("b", "Base", NON_COMMERCIAL, 390),
        _dav2_entry("l", "Large", NON_COMMERCIAL, 1341),
    ),
    serves={"dav2": "dav2-vitl"},
)

FAMILIES = (TINY, PHOTO, TINY_VIDEO, MOGE2, PI3, DEPTH_ANYTHING_V2)
