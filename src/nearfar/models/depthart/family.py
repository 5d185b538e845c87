"""What DepthART says about itself (nearfar/family.py), and about the VAR that it starts from."""

from __future__ import annotations

from nearfar.family import Family, NetworkKind, NetworkParts


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


FAMILY = Family(
    name="depthart",
    position=2,
    networks=(
        NetworkKind(name="depthart", parts=_parts),
        NetworkKind(name="var", parts=_var_parts),
    ),
)
