"""What PPD says about itself (nearfar/family.py): image and video network."""

from __future__ import annotations

from nearfar.family import Family, NetworkKind, NetworkParts


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


FAMILY = Family(
    name="ppd",
    position=1,
    networks=(
        NetworkKind(name="ppd", parts=_parts),
        NetworkKind(name="ppd_video", parts=_video_parts),
    ),
)
