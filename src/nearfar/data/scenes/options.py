"""What to render: mix of scene kinds, textures, plainness. Part of every shard's identity."""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass

from nearfar.errors import ConfigError

# Raise whenever pixels change: cached shards of older versions are then not mixed with new ones.
SCENES_VERSION = 5

KINDS = ("room", "table", "street", "field", "floor", "desk")
INDOOR = ("room", "table", "floor", "desk")


@dataclass(frozen=True, kw_only=True, slots=True)
class SceneOptions:
    """Mix and look of the rendered scenes.

    room, table, street, field, floor, desk: shares of the kinds (need not add to 1); floor and desk
    are the close views. plain: share of surfaces that are nearly untextured. texture_seed: another
    number gives other textures (held-out sets). texture_folder: own photos used as pictures and
    surfaces, "" = none. compile: torch.compile the renderer (8 times faster after a minute).

    Strengths 0..1, each a group of additions that an ablation can switch off. clutter: small things
    and fine structure. prints: packages, labels, cardboard. albedo: natural surfaces (planks,
    veneer, carpet, stone, stains). lights: fill light, color bounce, reflections, uneven light.
    sensor: tone curve, motion blur, sharpening, blocks of compression.
    """

    room: float = 0.28
    table: float = 0.22
    street: float = 0.13
    field: float = 0.09
    floor: float = 0.15
    desk: float = 0.13
    plain: float = 0.7
    clutter: float = 1.0
    prints: float = 1.0
    albedo: float = 1.0
    lights: float = 1.0
    sensor: float = 1.0
    texture_seed: int = 0
    texture_folder: str = ""
    compile: bool = False

    def __post_init__(self) -> None:
        if min(self.shares()) < 0 or sum(self.shares()) <= 0:
            raise ConfigError("SceneOptions", f"shares of scene kinds are {self.shares()}")
        for name in ("plain", "clutter", "prints", "albedo", "lights", "sensor"):
            if not 0 <= getattr(self, name) <= 1:
                raise ConfigError(f"SceneOptions.{name}", f"{getattr(self, name)} is not in 0..1")

    def shares(self) -> tuple[float, ...]:
        """The shares of the kinds, in the order of KINDS."""
        return tuple(float(getattr(self, name)) for name in KINDS)

    def identity(self) -> str:
        """Eight hex digits that change whenever the pixels of a scene would."""
        fields = asdict(self)
        fields.pop("compile")
        text = f"{SCENES_VERSION} {sorted(fields.items())}"
        return hashlib.sha256(text.encode()).hexdigest()[:8]
