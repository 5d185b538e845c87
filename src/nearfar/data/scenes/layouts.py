"""Draws one scene: which kind, its arrangement and light, the camera and the sensor."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from .builder import Scene, SceneBuilder
from .cameras import Camera
from .desks import desk_view
from .floors import floor_view
from .options import KINDS, SceneOptions
from .outdoor import field, street
from .rooms import furnished_room
from .sensor import draw_sensor
from .tabletops import tabletop
from .textures import TextureIndex

_ARRANGE: dict[str, Callable[[SceneBuilder], Camera]] = {
    "room": furnished_room,
    "table": tabletop,
    "street": street,
    "field": field,
    "floor": floor_view,
    "desk": desk_view,
}


def build_scene(
    rng: np.random.Generator, textures: TextureIndex, options: SceneOptions
) -> tuple[Scene, str]:
    """One random scene (numpy-built tensors, not stacked) and the name of its kind."""
    shares = np.array(options.shares())
    kind = KINDS[int(rng.choice(len(KINDS), p=shares / shares.sum()))]
    # Some scenes are all plain, some busy, so that the share of plain surfaces varies by photo.
    plain = float(np.clip(options.plain + rng.normal(0, 0.15), 0, 1))
    builder = SceneBuilder(rng, textures, plain=plain, options=options)
    camera = _ARRANGE[kind](builder)
    sensor = draw_sensor(rng, strength=options.sensor, uneven=options.lights)
    noise_seed = int(rng.integers(2**31))
    return builder.build(camera, sensor=sensor, noise_seed=noise_seed), kind
