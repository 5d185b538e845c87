"""What DAR says about itself (nearfar/family.py)."""

from __future__ import annotations

from nearfar.family import Family, NetworkKind, NetworkParts


def _parts() -> NetworkParts:
    from .config import DARConfig
    from .network import DARNetwork
    from .presets import PRESETS

    return NetworkParts(DARConfig, DARNetwork, PRESETS)


FAMILY = Family(name="dar", position=4, networks=(NetworkKind(name="dar", parts=_parts),))
