"""Any image model on every frame: the same seed each time, so its noise stands still.

The camera is fixed too: a shot keeps the field of view of its first frame. Metres are each
frame's own; what flickers is what the model says.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import replace

from nearfar.io.images import Photo
from nearfar.io.video.clip import ClipFrame

from ..metres import is_nearly_sky
from ..predict import Model
from .config import PER_FRAME_PART, VideoConfig
from .cuts import find_cut
from .state import FrameDepth, StreamState

_LOG = logging.getLogger(__name__)


class PerFrame:
    """An image model as a model of clips."""

    per_frame = True

    def __init__(self, model: Model) -> None:
        self._model = model
        self.name, self.licence = model.name, model.licence
        self.weights_sha256 = model.weights_sha256

    def steps(self, config: VideoConfig) -> int:
        """Network calls per frame."""
        return config.predict.steps or self._model.default_steps

    def stream(
        self, frames: Iterator[ClipFrame], config: VideoConfig, *, state: StreamState | None = None
    ) -> Iterator[FrameDepth]:
        """Depth of every frame in order, one frame in memory."""
        state = state or StreamState()
        memory, fov_x_deg = state.cuts, state.fov_x_deg
        self._model.require(config.predict)
        sky_frames = 0
        # a frame is held back until the next is there, so that the last one is known as such
        waiting: FrameDepth | None = None
        for count, frame in enumerate(frames, start=state.frames + 1):
            is_cut = False
            if config.cuts:
                found = find_cut(frame.rgb_HW3, memory)
                is_cut, memory = found.is_cut, found.memory
            if is_cut:
                fov_x_deg = None
            photo = Photo(rgb_HW3=frame.rgb_HW3)
            fov_x_deg = config.predict.fov_x_deg or fov_x_deg
            result = self._model.of_photo(photo, replace(config.predict, fov_x_deg=fov_x_deg))
            sky_frames += is_nearly_sky(result)
            fov_x_deg = result.fov_x_deg
            if waiting is not None:
                yield waiting
            after = StreamState(frames=count, cuts=memory, fov_x_deg=fov_x_deg)
            if count % PER_FRAME_PART == 0:
                yield FrameDepth(frame, result, is_cut, after)
                waiting = None
            else:
                waiting = FrameDepth(frame, result, is_cut, None)
                last = after
        if waiting is not None:
            yield waiting._replace(state=last)
        if sky_frames:
            _LOG.warning("%d frames are taken for sky, nearly all of it: no depth", sky_frames)
