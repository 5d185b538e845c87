"""What every depth family offers: `Predictor` for inference, `Objective` for training.

A predictor works at network size on one photo and returns hypotheses; alignment between them,
metres, the way back to the photo's size and the output contract are the pipeline's work, once for
all families. A `VideoPredictor` works on one window of a clip and hands on what the next needs.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from nearfar.batch import ClipBatch, DepthBatch
from nearfar.predict_config import PredictConfig
from nearfar.result import DepthKind


class MetricReference(NamedTuple):
    """An encoder's own metric guess at network size: the source of metres and field of view.

    depth_HW: metres. valid_HW: where it may be used (no sky). fov_x_deg: horizontal, degrees.
    """

    depth_HW: Tensor
    valid_HW: Tensor
    fov_x_deg: float
    name: str


class Hypotheses(NamedTuple):
    """S depth maps of one photo at network size [h,w], float32 on the CPU.

    depth_Shw: larger = farther, in the meaning of `kind`. guide_hw3: the photo at that size, 0..1.
    spread_Shw: the family's own standard deviation of each map in the same unit, where it has one.
    """

    depth_Shw: Tensor
    kind: DepthKind
    guide_hw3: Tensor
    reference: MetricReference | None
    spread_Shw: Tensor | None = None


class Predictor(Protocol):
    """One family with its weights, ready to predict.

    kind: of every map it gives. options: those of predict_config.FAMILY_OPTIONS that it takes.
    """

    kind: DepthKind
    options: frozenset[str]
    default_steps: int
    default_area: int  # network pixels (height * width) when no resolution is asked for

    def predict(
        self,
        image_3HW: Tensor,
        config: PredictConfig,
        *,
        area: int,
        generators: Sequence[torch.Generator],
    ) -> Hypotheses:
        """One hypothesis per CPU generator for a photo (float 0..1 RGB, any size).

        area: network pixels, what config.resolution means for the photo. config.steps: None = own.
        """
        ...


class KeyFrames(NamedTuple):
    """All that a window needs of the windows before it: key frames, in the order of their slots.

    frames_T3hw: RGB 0..1 at network size. depth_Thw: what was given out for them, float32. Both on
    the CPU; a clip goes on from a stored copy exactly as it would have without the break.
    """

    frames_T3hw: Tensor
    depth_Thw: Tensor


class WindowDepth(NamedTuple):
    """Depth of the frames given to one window, at network size, float32 on the CPU.

    depth_Thw: larger = farther, in the meaning of `kind`, stitched: one scale and shift for all
    windows since the last without references. key_frames: hand them to the next window. scale,
    shift: the stitching (1, 0 without references). metres: a metric guess per frame, or empty.
    """

    depth_Thw: Tensor
    kind: DepthKind
    key_frames: KeyFrames
    scale: float
    shift: float
    metres: tuple[MetricReference, ...] = ()


class VideoPredictor(Protocol):
    """A video model with its weights: windows of a clip, one after the other, in constant memory.

    A clip is streamed like this (a scene cut sets `references` back to None):

        references = None
        while frames := [next few, through prepare()]:  # `window` at first, then `stride`
            found = predictor.predict_window(stack(frames), references=references, ...)
            references = found.key_frames  # found.depth_Thw has a map for each frame given
    """

    kind: DepthKind
    default_steps: int
    default_area: int
    window: int  # frames the network sees together, key frames of earlier windows included
    stride: int  # new frames of a window that has references: window - key frames

    def prepare(self, image_3HW: Tensor, *, area: int) -> Tensor:
        """One frame (RGB 0..1 or uint8, any size) as [3,h,w] float32 0..1 at network size."""
        ...

    def predict_window(
        self,
        frames_T3hw: Tensor,
        *,
        references: KeyFrames | None,
        steps: int,
        generator: torch.Generator,
    ) -> WindowDepth:
        """Depth of 1 to `window` new frames, or 1 to `stride` of them after references.

        Fewer are filled up by repeating the last, so give few only before a cut or the end. The
        noise of a full window is drawn from `generator` (CPU) at every call: pass an equally seeded
        one each time, so that all windows start from the same noise and a clip can be resumed.
        """
        ...


class Losses(NamedTuple):
    """The scalar to minimize and named scalars for the log."""

    total: Tensor
    parts: dict[str, Tensor]


class Objective(Protocol):
    """Targets and loss of one family; owns no parameters of its own that are trained elsewhere."""

    def __call__(self, batch: DepthBatch, /, *, generator: torch.Generator) -> Losses:
        """Losses of a batch; `generator` draws time and noise."""
        ...


class ClipObjective(Protocol):
    """An `Objective` that learns from clips."""

    def __call__(self, batch: ClipBatch, /, *, generator: torch.Generator) -> Losses:
        """Losses of a batch; `generator` draws time and noise."""
        ...
