"""What a stream of depth needs to go on after a frame, small enough to be kept on disk."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from .cuts import CutMemory

if TYPE_CHECKING:
    from nearfar.io.video.clip import ClipFrame
    from nearfar.models.base import KeyFrames
    from nearfar.result import DepthResult

    from .config import VideoConfig


@dataclass(frozen=True, kw_only=True, slots=True)
class ShotMetres:
    """How the maps of one shot become metres, from its first window.

    scale, shift: in the space of the maps' kind. low, high: metres it is clipped to. reference:
    what gave them.
    """

    scale: float
    shift: float
    low: float
    high: float
    reference: str


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class StreamState:
    """After `frames` frames: memory of cuts, key frames and metres of the running shot.

    fov_x_deg: the shot's field of view, if known.
    """

    frames: int = 0
    cuts: CutMemory = field(default_factory=CutMemory)
    references: KeyFrames | None = None
    metres: ShotMetres | None = None
    fov_x_deg: float | None = None

    def arrays(self) -> dict[str, NDArray[Any]]:
        """The arrays of the state, for a file."""
        arrays: dict[str, NDArray[Any]] = {}
        if self.cuts.cells is not None:
            arrays["cells"] = self.cuts.cells
        if self.references is not None:
            arrays["key_frames"] = self.references.frames_T3hw.numpy()
            arrays["key_depth"] = self.references.depth_Thw.numpy()
        return arrays

    def facts(self) -> dict[str, Any]:
        """The rest, as JSON."""
        return {
            "frames": self.frames,
            "scores": list(self.cuts.scores),
            "metres": None if self.metres is None else asdict(self.metres),
            "fov_x_deg": self.fov_x_deg,
        }


def restore(facts: dict[str, Any], arrays: dict[str, NDArray[Any]]) -> StreamState:
    """The state that `facts` and `arrays` came from."""
    references = None
    if "key_frames" in arrays:
        import torch

        from nearfar.models.base import KeyFrames

        references = KeyFrames(
            torch.from_numpy(np.array(arrays["key_frames"])),
            torch.from_numpy(np.array(arrays["key_depth"])),
        )
    cells = arrays.get("cells")
    return StreamState(
        frames=int(facts["frames"]),
        cuts=CutMemory(cells=cells, scores=tuple(facts["scores"])),
        references=references,
        metres=None if facts["metres"] is None else ShotMetres(**facts["metres"]),
        fov_x_deg=facts["fov_x_deg"],
    )


class FrameDepth(NamedTuple):
    """Depth of one frame. begins_shot: a cut lies before it.

    state: after the last frame of a window, what goes on from there; else None.
    """

    frame: ClipFrame
    result: DepthResult
    begins_shot: bool
    state: StreamState | None


class ClipModel(Protocol):
    """A model that turns frames into depth as they come, holding one window of them."""

    name: str
    licence: str
    weights_sha256: str
    per_frame: bool

    def stream(
        self, frames: Iterator[ClipFrame], config: VideoConfig, *, state: StreamState | None = None
    ) -> Iterator[FrameDepth]:
        """Depth of every frame in order; `state` of an earlier run goes on where that ended."""
        ...

    def steps(self, config: VideoConfig) -> int:
        """Network calls per frame or window."""
        ...
