"""Held-out rendered scenes as a dataset: exact depth, sky and cameras, no files to download.

Scenes and textures come from `HELD_OUT_SEED`, which no training and no validation during training
uses: training scenes have seeds below `FIRST_VALIDATION_SEED`, validation adds that number to
them. Scene i is the same whatever the count, order or process.

Options: count (default 64), height and width (default 192 and 256), scenes (the version of the
renderer a number belongs to; another one is refused), cache (a folder; scenes drawn once are read
from there the next time).
"""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from nearfar.data.record import DepthRecord
from nearfar.data.scenes.options import INDOOR, KINDS, SCENES_VERSION, SceneOptions
from nearfar.errors import ConfigError
from nearfar.io.atomic import atomic_path, ensure_folder

FIRST_VALIDATION_SEED = 1_000_003
HELD_OUT_SEED = 2_000_003
FARTHEST = 80.0  # metres; what is farther has no depth here
_DEFAULTS = {"count": 64, "height": 192, "width": 256}


def open_rendered(
    store: object = None,
    *,
    split: str | None = None,
    list_file: Path | None = None,
    options: Mapping[str, Any] | None = None,
) -> RenderedScenes:
    """The held-out scenes; nothing is drawn before the first record. `store` is not needed."""
    numbers, cache = held_out_options(
        "rendered", _DEFAULTS, options or {}, split=split, list_file=list_file
    )
    return RenderedScenes(**numbers, cache=cache)


@dataclass(frozen=True, kw_only=True, slots=True)
class RenderedScenes:
    """Scenes 0..count-1 of the held-out seed, each its own place, drawn when asked for."""

    count: int = 64
    height: int = 192
    width: int = 256
    cache: Path | None = None

    def __post_init__(self) -> None:
        if not 1 <= self.count <= 10_000:
            raise ConfigError("rendered: count", f"{self.count} is not within 1..10000")
        if not all(8 <= side <= 4096 for side in (self.height, self.width)):
            raise ConfigError("rendered: size", f"{self.height}x{self.width}: use 8..4096 a side")

    @property
    def sample_ids(self) -> list[str]:
        """`rendered/<scene>/0` for every scene."""
        return [f"rendered/{index:04d}/0" for index in range(self.count)]

    def record(self, index: int) -> DepthRecord:
        """Scene `index`: valid where depth is below 80 m; `notes` hold its kind and place."""
        if not 0 <= index < self.count:
            raise IndexError(f"scene {index} of {self.count}")
        arrays = self._arrays(index)
        depth, sky = arrays["depth"], arrays["sky"]
        valid = (depth > 0) & (depth < FARTHEST) & ~sky
        kind = str(arrays["kind"])
        return DepthRecord(
            sample_id=self.sample_ids[index],
            scene=f"{index:04d}",
            rgb_HW3=arrays["rgb"],
            depth_HW=np.where(valid, depth, np.float32(0)),
            valid_HW=valid,
            sky_HW=sky,
            intrinsics_33=arrays["intrinsics"],
            pose_44=arrays["pose"],
            notes={"kind": kind, "place": "indoor" if kind in INDOOR else "outdoor"},
        )

    def _arrays(self, index: int) -> dict[str, NDArray[Any]]:
        """What the renderer says of scene `index`, from the cache if it is there and whole."""
        if self.cache is None:
            return _render(index, (self.height, self.width))
        size = f"{self.height}x{self.width}"
        name = f"rendered_{HELD_OUT_SEED}_{size}_{_scene_options().identity()}"
        path = self.cache / name / f"{index:06d}.npz"
        try:
            with np.load(path, allow_pickle=False) as file:
                return {key: file[key] for key in file.files}
        except (OSError, EOFError, ValueError, zipfile.BadZipFile, zlib.error):
            pass  # not there yet, or damaged: draw it
        arrays = _render(index, (self.height, self.width))
        ensure_folder(path.parent)
        with atomic_path(path) as temporary, open(temporary, "wb") as file:
            np.savez_compressed(file, **arrays)  # type: ignore[arg-type]
        return arrays


def _scene_options() -> SceneOptions:
    return SceneOptions(texture_seed=HELD_OUT_SEED)


def _render(index: int, size_hw: tuple[int, int]) -> dict[str, NDArray[Any]]:
    """One scene as arrays: rgb, depth (0 on sky), sky, intrinsics, pose, kind."""
    from nearfar.data.scenes.renderer import render_scenes

    drawn = render_scenes(
        [index], seed=HELD_OUT_SEED, size_hw=size_hw, device="cpu", options=_scene_options()
    )
    photo = (drawn.image_B3HW[0] * 255).round().byte().permute(1, 2, 0)
    return {
        "rgb": np.ascontiguousarray(photo.numpy()),
        "depth": drawn.depth_BHW[0].numpy(),
        "sky": drawn.sky_BHW[0].numpy(),
        "intrinsics": drawn.intrinsics_B33[0].double().numpy(),
        "pose": drawn.camera_to_world_B44[0].double().numpy(),
        "kind": np.array(KINDS[int(drawn.kind_B[0])]),
    }


class HeldOut(NamedTuple):
    """numbers: whole options by name. cache: folder of what was drawn, or None."""

    numbers: dict[str, int]
    cache: Path | None


def held_out_options(
    where: str,
    defaults: Mapping[str, int],
    options: Mapping[str, Any],
    *,
    split: str | None,
    list_file: Path | None,
) -> HeldOut:
    """Options of a drawn dataset, checked; ConfigError names `where`."""
    given = {name: value for name, value in options.items() if value != ""}
    known = (*defaults, "scenes", "cache")
    unknown = set(given) - set(known)
    if unknown:
        raise ConfigError(where, f"unknown option {min(unknown)!r}", f"Known: {', '.join(known)}")
    version = _whole(where, "scenes", given.get("scenes", SCENES_VERSION))
    if version != SCENES_VERSION:
        raise ConfigError(
            f"{where}: scenes",
            f"version {version} is asked for, this renderer draws version {SCENES_VERSION}",
            "Use the release that made the number, or the protocol of this version",
        )
    if split not in (None, "test"):
        raise ConfigError(where, f"no split {split!r}", "The only one is test")
    if list_file is not None:
        raise ConfigError(where, f"takes no list ({list_file})", "Use the option count")
    numbers = {
        name: _whole(where, name, given.get(name, value)) for name, value in defaults.items()
    }
    cache = given.get("cache")
    return HeldOut(numbers, None if cache is None else Path(cache))


def _whole(where: str, name: str, value: object) -> int:
    """`value` as a whole number; texts are read as options of a command line give them."""
    try:
        number = int(str(value))
    except ValueError:
        raise ConfigError(f"{where}: {name}", f"{value!r} is not a whole number") from None
    return number
