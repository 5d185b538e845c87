"""A video model over a clip: windows with key frames of earlier ones, started anew at cuts.

All windows of a clip start from the same noise. Where the model guesses metres, its first window
of a shot fixes scale and shift for the whole shot, so that metres do not flicker.
"""

from __future__ import annotations

import logging
from collections.abc import Generator, Iterator
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from nearfar.errors import ConfigError, NearfarError, ResourceError, WeightsError
from nearfar.geometry.alignment import apply_affine, fit_affine_ransac
from nearfar.geometry.upsample import guided_indices
from nearfar.io.video.clip import ClipFrame
from nearfar.models.base import VideoPredictor, WindowDepth
from nearfar.result import DepthKind, DepthResult
from nearfar.settings import own_precision

from ..metres import choose_camera, plausible_range
from ..predict import device_type
from .config import VideoConfig
from .cuts import CutMemory, find_cut
from .state import FrameDepth, ShotMetres, StreamState

if TYPE_CHECKING:
    from nearfar.weights.load import LoadedModel

_LOG = logging.getLogger(__name__)
_NETWORK, _ALIGNMENT = 1, 2  # independent streams drawn from one seed
_LEAST_SHARE = 0.01  # of the pixels must be usable in the reference


@dataclass(slots=True)
class _Window:
    """Frames that wait for the network, and the memory of cuts after the last of them."""

    frames: list[ClipFrame] = field(default_factory=list)
    prepared: list[Tensor] = field(default_factory=list)
    begins_shot: bool = False
    memory: CutMemory = field(default_factory=CutMemory)


class Windowed:
    """A video model with its weights as a model of clips."""

    per_frame = False

    def __init__(self, predictor: VideoPredictor, loaded: LoadedModel) -> None:
        self._predictor = predictor
        self.name, self.licence = loaded.entry.name, loaded.entry.licence
        self.weights_sha256 = loaded.sha256

    def steps(self, config: VideoConfig) -> int:
        """Network calls per window."""
        return config.predict.steps or self._predictor.default_steps

    def stream(
        self, frames: Iterator[ClipFrame], config: VideoConfig, *, state: StreamState | None = None
    ) -> Iterator[FrameDepth]:
        """Depth of every frame in order, at most a window of frames in memory."""
        if config.predict.ensemble_size > 1:
            raise ConfigError("ensemble_size", f"{self.name} gives one map per frame", "Use 1")
        state = state or StreamState()
        waiting = _Window(memory=state.cuts)
        for frame in frames:
            memory, is_cut = waiting.memory, False
            if config.cuts:
                found = find_cut(frame.rgb_HW3, memory)
                is_cut, memory = found.is_cut, found.memory
            if is_cut:
                if waiting.frames:
                    state = yield from self._run(waiting, state, config)
                state = replace(state, references=None, metres=None, fov_x_deg=None)
                waiting = _Window(begins_shot=True)
            waiting.frames.append(frame)
            waiting.prepared.append(self._prepare(frame, config))
            waiting.memory = memory
            full = self._predictor.window if state.references is None else self._predictor.stride
            if len(waiting.frames) == full:
                state = yield from self._run(waiting, state, config)
                waiting = _Window(memory=memory)
        if waiting.frames:
            yield from self._run(waiting, state, config)

    def _run(
        self, window: _Window, state: StreamState, config: VideoConfig
    ) -> Generator[FrameDepth, None, StreamState]:
        """Depth of the window's frames; returns the state after them."""
        found = self._predict(window, state, config)
        metres, fov_x_deg = state.metres, state.fov_x_deg
        guesses = found.metres if config.predict.metric else ()
        if guesses and state.references is None:
            fov_x_deg = float(np.median([guess.fov_x_deg for guess in guesses]))
        if guesses and metres is None:  # also where the shot began with nothing but sky
            metres = _shot_metres(found, seed=config.predict.seed)
        after = StreamState(
            frames=state.frames + len(window.frames),
            cuts=window.memory,
            references=found.key_frames,
            metres=metres,
            fov_x_deg=fov_x_deg,
        )
        last = len(window.frames) - 1
        for place, frame in enumerate(window.frames):
            result = self._result(place, window, found, after, config)
            begins = window.begins_shot and place == 0
            yield FrameDepth(frame, result, begins, after if place == last else None)
        return after

    def _prepare(self, frame: ClipFrame, config: VideoConfig) -> Tensor:
        height, width = frame.rgb_HW3.shape[:2]
        area = config.predict.network_area((height, width), self._predictor.default_area)
        image_3HW = torch.from_numpy(frame.rgb_HW3.transpose(2, 0, 1).copy())
        return self._predictor.prepare(image_3HW, area=area)

    def _predict(self, window: _Window, state: StreamState, config: VideoConfig) -> WindowDepth:
        """One window of the network, all finite; out of memory becomes a ResourceError."""
        frames_T3hw = torch.stack(window.prepared)
        try:
            with torch.inference_mode(), own_precision(device_type(self._predictor)):
                found = self._predictor.predict_window(
                    frames_T3hw,
                    references=state.references,
                    steps=self.steps(config),
                    generator=_generator(config.predict.seed),
                )
        except NearfarError:
            raise
        except (MemoryError, RuntimeError) as error:
            if "memory" not in str(error).lower() and not isinstance(error, MemoryError):
                raise
            size = "x".join(map(str, frames_T3hw.shape[:0:-1][:2]))
            raise ResourceError(
                f"{self.name} at {size} pixels", "out of memory", "Use a smaller resolution"
            ) from error
        finite = torch.isfinite(found.depth_Thw)
        if not finite.all():
            raise WeightsError(
                self.name,
                f"the network gave NaN or infinity at {int((~finite).sum())} pixels",
                "The weights may be damaged; try dtype fp32",
            )
        return found

    def _result(
        self,
        place: int,
        window: _Window,
        found: WindowDepth,
        state: StreamState,
        config: VideoConfig,
    ) -> DepthResult:
        """The map of one frame at its own size."""
        frame = window.frames[place]
        guide_hw3 = window.prepared[place].permute(1, 2, 0).float().numpy()
        cells_HW = guided_indices(guide_hw3, frame.rgb_HW3)
        low_hw, kind, reference = found.depth_Thw[place].numpy(), found.kind, None
        if kind is DepthKind.METRIC:
            reference = self.name
        if state.metres is not None:
            low_hw, kind = _to_metres(low_hw, kind, state.metres), DepthKind.METRIC
            reference = state.metres.reference
        depth_HW = low_hw.ravel()[cells_HW]
        sky_HW = None
        if found.metres:
            sky_HW = ~found.metres[place].valid_HW.cpu().numpy().ravel()[cells_HW]
        camera = choose_camera(
            depth_HW.shape,
            fov_x_deg=config.predict.fov_x_deg or state.fov_x_deg,
            focal_px=None,
            reference=None,
        )
        return DepthResult(
            depth=depth_HW,
            kind=kind,
            valid=np.ones(depth_HW.shape, np.bool_) if sky_HW is None else ~sky_HW,
            sky=sky_HW,
            intrinsics=camera.intrinsics_33,
            fov_x_deg=camera.fov_x_deg,
            metric_reference=reference,
            model=self.name,
            weights_sha256=self.weights_sha256,
            seed=config.predict.seed,
            steps=self.steps(config),
            licence=self.licence,
            image=frame.rgb_HW3,
        )


def _generator(seed: int) -> torch.Generator:
    """The generator every window of a clip begins with."""
    mixed = np.random.default_rng([seed, _NETWORK, 0]).integers(2**63)
    return torch.Generator().manual_seed(int(mixed))


def _shot_metres(found: WindowDepth, *, seed: int) -> ShotMetres | None:
    """Scale and shift to metres from all frames of a window, None if the guess says nothing."""
    if found.kind is DepthKind.METRIC:
        return None
    depth = np.concatenate([part.numpy() for part in found.depth_Thw])
    metres = np.concatenate([guess.depth_HW.float().cpu().numpy() for guess in found.metres])
    usable = np.concatenate([guess.valid_HW.cpu().numpy() for guess in found.metres])
    usable &= np.isfinite(metres) & (metres > 0)
    name = found.metres[0].name
    if usable.mean() < _LEAST_SHARE:
        _LOG.warning("%s sees hardly anything but sky in a window: no metres yet", name)
        return None
    stream = np.random.default_rng([seed, _ALIGNMENT])
    fit = fit_affine_ransac(depth, metres, usable, kind=found.kind, generator=stream)
    low, high = plausible_range(metres[usable])
    return ShotMetres(
        scale=float(fit.scale),
        shift=float(fit.shift),
        low=low,
        high=high,
        reference=name,
    )


def _to_metres(
    low_hw: NDArray[np.float32], kind: DepthKind, metres: ShotMetres
) -> NDArray[np.float32]:
    values = apply_affine(low_hw, scale=metres.scale, shift=metres.shift, kind=kind)
    clipped: NDArray[np.float32] = np.clip(values, metres.low, metres.high)
    return clipped
