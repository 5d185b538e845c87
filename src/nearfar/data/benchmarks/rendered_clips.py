"""Held-out rendered clips as a dataset: moving camera, moving things, exact depth, no files.

Scenes and textures come from `HELD_OUT_SEED`, as those of `rendered`; clips are smooth camera paths
through them (data/scenes/clips.py). A clip is the same whatever the count, order or process.

Options: count (clips, default 8), frames (24 each), height and width (192 and 256), scenes (the
version of the renderer a number belongs to), cache (a folder; clips drawn once are read from there
the next time).
"""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nearfar.data.record import DepthRecord
from nearfar.data.scenes.options import INDOOR, KINDS
from nearfar.errors import ConfigError
from nearfar.io.atomic import atomic_path, ensure_folder

from .rendered import FARTHEST, HELD_OUT_SEED, held_out_options

_DEFAULTS = {"count": 8, "frames": 24, "height": 192, "width": 256}
_NAME = "clips"


def open_rendered_clips(
    store: object = None,
    *,
    split: str | None = None,
    list_file: Path | None = None,
    options: Mapping[str, Any] | None = None,
) -> RenderedClips:
    """The held-out clips; nothing is drawn before the first record. `store` is not needed."""
    numbers, cache = held_out_options(
        _NAME, _DEFAULTS, options or {}, split=split, list_file=list_file
    )
    return RenderedClips(**numbers, cache=cache)


@dataclass(frozen=True, kw_only=True, slots=True)
class RenderedClips:
    """Clips 0..count-1 of the held-out seed, drawn when asked for, frames in order."""

    count: int = 8
    frames: int = 24
    height: int = 192
    width: int = 256
    cache: Path | None = None

    def __post_init__(self) -> None:
        if not (1 <= self.count <= 10_000 and 1 <= self.frames <= 1000):
            raise ConfigError(_NAME, f"{self.count} clips of {self.frames} frames")
        if not all(8 <= side <= 4096 for side in (self.height, self.width)):
            raise ConfigError(f"{_NAME}: size", f"{self.height}x{self.width}: use 8..4096 a side")

    @property
    def sample_ids(self) -> list[str]:
        """`clips/<clip>/<frame>` for every frame, clip by clip."""
        return [
            f"{_NAME}/{clip:04d}/{frame:04d}"
            for clip in range(self.count)
            for frame in range(self.frames)
        ]

    def record(self, index: int) -> DepthRecord:
        """Frame `index` of all: valid where depth is below 80 m; `notes` hold kind and place."""
        if not 0 <= index < self.count * self.frames:
            raise IndexError(f"frame {index} of {self.count * self.frames}")
        clip, frame = divmod(index, self.frames)
        arrays = self._frame(clip, frame)
        depth, sky = arrays["depth"], arrays["sky"]
        valid = (depth > 0) & (depth < FARTHEST) & ~sky
        kind = str(arrays["kind"])
        return DepthRecord(
            sample_id=self.sample_ids[index],
            scene=f"{clip:04d}",
            rgb_HW3=arrays["rgb"],
            depth_HW=np.where(valid, depth, np.float32(0)),
            valid_HW=valid,
            sky_HW=sky,
            intrinsics_33=arrays["intrinsics"],
            pose_44=arrays["pose"],
            time_s=frame / 24,
            sequence=f"{clip:04d}",
            notes={"kind": kind, "place": "indoor" if kind in INDOOR else "outdoor"},
        )

    def _frame(self, clip: int, frame: int) -> dict[str, NDArray[Any]]:
        """What the renderer says of a frame, from the cache if it is there and whole."""
        if self.cache is None:
            return _render(clip, self)[frame]
        options = _clip_options(self.frames)
        folder = (
            self.cache
            / f"{_NAME}_{HELD_OUT_SEED}_{self.height}x{self.width}_{options.identity()}"
            / f"{clip:04d}"
        )
        try:
            with np.load(folder / f"{frame:04d}.npz", allow_pickle=False) as file:
                return {key: file[key] for key in file.files}
        except (OSError, EOFError, ValueError, zipfile.BadZipFile, zlib.error):
            pass  # not there yet, or damaged: draw the clip
        drawn = _render(clip, self)
        ensure_folder(folder)
        for number, arrays in enumerate(drawn):
            target = folder / f"{number:04d}.npz"
            with atomic_path(target) as temporary, open(temporary, "wb") as file:
                np.savez_compressed(file, **arrays)  # type: ignore[arg-type]
        return drawn[frame]


def _clip_options(frames: int) -> Any:
    from nearfar.data.scenes.clips import ClipOptions

    return ClipOptions(texture_seed=HELD_OUT_SEED, frames=frames)


def _render(clip: int, data: RenderedClips) -> list[dict[str, NDArray[Any]]]:
    """The frames of a clip as arrays: rgb, depth (0 on sky), sky, intrinsics, pose, kind."""
    from nearfar.data.scenes.clips import render_clip

    drawn = render_clip(
        clip,
        seed=HELD_OUT_SEED,
        size_hw=(data.height, data.width),
        device="cpu",
        options=_clip_options(data.frames),
    )
    photos = (drawn.image_B3HW * 255).round().byte().permute(0, 2, 3, 1)
    return [
        {
            "rgb": np.ascontiguousarray(photos[i].numpy()),
            "depth": drawn.depth_BHW[i].numpy(),
            "sky": drawn.sky_BHW[i].numpy(),
            "intrinsics": drawn.intrinsics_B33[i].double().numpy(),
            "pose": drawn.camera_to_world_B44[i].double().numpy(),
            "kind": np.array(KINDS[int(drawn.kind_B[i])]),
        }
        for i in range(data.frames)
    ]
