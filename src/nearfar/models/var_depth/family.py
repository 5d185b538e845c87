"""What VAR-Depth says about itself (nearfar/family.py), and about the Switti it starts from."""

from __future__ import annotations

from nearfar.family import Family, NetworkKind, NetworkParts


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


FAMILY = Family(
    name="var_depth",
    position=3,
    networks=(
        NetworkKind(name="var_depth", parts=_parts),
        NetworkKind(name="switti", parts=_switti_parts),
    ),
)
