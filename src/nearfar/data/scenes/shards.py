"""A cache of rendered scenes for training: shard files, rendered on demand, memory-mapped.

Shard k holds scenes k*size .. k*size+size-1: uint8 photo, float16 depth (metres), packed sky bits,
field of view. Files appear by atomic rename, so several processes may fill one folder at once.
"""

from __future__ import annotations

import math
import pickle
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from nearfar.data.sample import DepthBatch
from nearfar.errors import ConfigError, DataError
from nearfar.io.atomic import atomic_path, ensure_folder

from .options import SceneOptions
from .renderer import RenderedBatch, render_scenes

_CHUNK = 64  # scenes per render call: bounds memory, and progress moves


class Shard(NamedTuple):
    """One file's content."""

    image_B3HW: Tensor  # uint8
    depth_BHW: Tensor  # float16 metres, 0 on sky
    sky_bits_BP: Tensor  # uint8, 8 pixels each
    fov_x_deg_B: Tensor
    kind_B: Tensor


class SceneShards:
    """Scenes of one seed, size and look, from `folder`; missing shards are rendered when asked for.

    Shard files are mapped, not read: what is used often stays in memory as long as there is room.
    """

    kind = "scenes"
    at_once = _CHUNK

    def __init__(
        self,
        folder: Path | str,
        *,
        seed: int,
        size_hw: tuple[int, int],
        options: SceneOptions,
        device: torch.device | str = "cpu",
        shard_size: int = 256,
    ) -> None:
        if shard_size < 1 or min(size_hw) < 8:
            raise ConfigError("SceneShards", f"shard_size {shard_size}, size_hw {size_hw}")
        name = f"{self.kind}_{seed}_{size_hw[0]}x{size_hw[1]}_{shard_size}_{options.identity()}"
        self.folder = Path(folder) / name
        self.seed, self.size_hw, self.options = seed, size_hw, options
        self.device, self.shard_size = torch.device(device), shard_size
        self._loaded: dict[int, Shard] = {}

    def path(self, number: int) -> Path:
        """Where shard `number` is or will be."""
        return self.folder / f"{number:06d}.pt"

    def missing(self, count: int) -> list[int]:
        """Shard numbers among the first `count` scenes that no file holds yet."""
        shards = -(-count // self.shard_size)
        return [number for number in range(shards) if not self.path(number).exists()]

    def ensure(
        self,
        count: int,
        progress: Callable[[int, int], None] | None = None,
        *,
        worker: int = 0,
        workers: int = 1,
    ) -> None:
        """Render what is missing of the first `count` scenes; progress(done, total) counts scenes.

        With `workers` > 1 each process takes every workers-th missing shard, starting at `worker`.
        """
        total = -(-count // self.shard_size) * self.shard_size
        todo = self.missing(count)
        done = total - len(todo) * self.shard_size
        for number in todo[worker::workers]:
            if not self.path(number).exists():
                self._render(number, None if progress is None else _from(progress, done, total))
            done += self.shard_size
            if progress is not None:
                progress(done, total)

    def batch(self, indices: Tensor) -> DepthBatch:
        """The scenes with these indices (any order), on the CPU."""
        numbers = [int(i) for i in indices]
        if min(numbers) < 0:
            raise ConfigError("SceneShards.batch", f"negative index {min(numbers)}")
        shards = [self.shard(n // self.shard_size) for n in numbers]
        rows = [n % self.shard_size for n in numbers]
        image = torch.stack([s.image_B3HW[r] for s, r in zip(shards, rows)])
        depth = torch.stack([s.depth_BHW[r] for s, r in zip(shards, rows)]).float()
        bits = torch.stack([s.sky_bits_BP[r] for s, r in zip(shards, rows)])
        sky = _unpacked(bits, tuple(depth.shape[1:]))
        fov = torch.stack([s.fov_x_deg_B[r] for s, r in zip(shards, rows)])
        return DepthBatch(image.float() / 255, depth, ~sky & (depth > 0), sky, fov)

    def shard(self, number: int) -> Shard:
        """Shard `number`: from RAM, from its file, or rendered now."""
        found = self._loaded.get(number)
        if found is None:
            path = self.path(number)
            if not path.exists():
                self._render(number, None)
            found = _read(path)
            self._loaded[number] = found
        return found

    def _render(self, number: int, progress: Callable[[int], None] | None) -> None:
        """Render one shard and move it into place."""
        first, parts = number * self.shard_size, []
        for start in range(0, self.shard_size, self.at_once):
            stop = min(start + self.at_once, self.shard_size)
            parts.append(self._draw(range(first + start, first + stop)))
            if progress is not None:
                progress(stop)
        shard = Shard(*(torch.cat(p) for p in zip(*parts)))
        ensure_folder(self.folder)
        with atomic_path(self.path(number)) as temporary:
            torch.save(shard._asdict(), temporary)

    def _draw(self, indices: Sequence[int]) -> Shard:
        """The scenes with these indices, rendered."""
        drawn = render_scenes(
            indices,
            seed=self.seed,
            size_hw=self.size_hw,
            device=self.device,
            options=self.options,
        )
        return as_shard(drawn)


def as_shard(drawn: RenderedBatch) -> Shard:
    """Rendered scenes as they are stored."""
    return Shard(
        (drawn.image_B3HW * 255).round().to(torch.uint8).cpu(),
        drawn.depth_BHW.half().cpu(),
        _packed(drawn.sky_BHW.cpu()),
        drawn.fov_x_deg_B.cpu(),
        drawn.kind_B.cpu(),
    )


def _read(path: Path) -> Shard:
    """A shard file's content; DataError if it is damaged."""
    try:
        return Shard(**torch.load(path, weights_only=True, map_location="cpu", mmap=True))
    except (OSError, RuntimeError, TypeError, EOFError, pickle.UnpicklingError) as error:
        raise DataError(path, f"is not a scene shard ({error})", "Delete it") from error


def _from(progress: Callable[[int, int], None], done: int, total: int) -> Callable[[int], None]:
    """Progress within a shard, counted from what was done before."""
    return lambda part: progress(done + part, total)


def _packed(mask_BHW: Tensor) -> Tensor:
    """Eight pixels a byte [B,P]."""
    return torch.from_numpy(np.packbits(mask_BHW.flatten(1).numpy(), axis=1))


def _unpacked(bits_BP: Tensor, shape: tuple[int, ...]) -> Tensor:
    """The mask [B,H,W], or of clips [B,T,H,W], again; `shape` without B."""
    flat = np.unpackbits(bits_BP.numpy(), axis=1, count=math.prod(shape))
    return torch.from_numpy(flat.astype(bool)).view(-1, *shape)
