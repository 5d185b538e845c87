"""What to render: mix of scene kinds, textures, plainness. Part of every shard's identity."""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass

from sonde.errors import ConfigError

# Raise whenever pixels change: cached shards of older versions are then not mixed with new ones.
SCENES_VERSION = 3


@dataclass(frozen=True, kw_only=True, slots=True)
class SceneOptions:
    """Mix and look of the rendered scenes.

    room, table, street, field: shares of the kinds (need not add to 1). plain: share of surfaces
    that are nearly untextured. texture_seed: another number gives other textures (held-out sets).
    texture_folder: own photos used as pictures and surfaces, "" = none. compile: torch.compile the
    renderer (3-4 times faster after about a minute).
    """

    room: float = 0.45
    table: float = 0.28
    street: float = 0.15
    field: float = 0.12
    plain: float = 0.7
    texture_seed: int = 0
    texture_folder: str = ""
    compile: bool = False

    def __post_init__(self) -> None:
        shares = (self.room, self.table, self.street, self.field)
        if min(shares) < 0 or sum(shares) <= 0:
            raise ConfigError("SceneOptions", f"shares of scene kinds are {shares}")
        if not 0 <= self.plain <= 1:
            raise ConfigError("SceneOptions.plain", f"{self.plain} is not within 0..1")

    def identity(self) -> str:
        """Eight hex digits that change whenever the pixels of a scene would."""
        fields = asdict(self)
        fields.pop("compile")
        text = f"{SCENES_VERSION} {sorted(fields.items())}"
        return hashlib.sha256(text.encode()).hexdigest()[:8]
