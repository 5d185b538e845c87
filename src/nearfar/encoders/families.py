"""What encoders say about themselves (nearfar/family.py)."""

from __future__ import annotations

from nearfar.family import Family, NetworkKind, NetworkParts


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


TINY = Family(
    name="tiny_encoder",
    position=10,
    networks=(NetworkKind(name="tiny_encoder", parts=_tiny, is_encoder=True, is_exact=True),),
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
)
MOGE2 = Family(
    name="moge2",
    position=13,
    networks=(NetworkKind(name="moge2", parts=_moge2, is_encoder=True),),
)
PI3 = Family(
    name="pi3", position=14, networks=(NetworkKind(name="pi3", parts=_pi3, is_encoder=True),)
)
DEPTH_ANYTHING_V2 = Family(
    name="depth_anything_v2",
    position=15,
    networks=(NetworkKind(name="depth_anything_v2", parts=_dav2, is_encoder=True),),
)

FAMILIES = (TINY, PHOTO, TINY_VIDEO, MOGE2, PI3, DEPTH_ANYTHING_V2)
