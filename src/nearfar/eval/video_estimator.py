"""A video model as an estimator: whole clips by windows, a photo as a clip of one frame."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from nearfar.errors import ConfigError
from nearfar.io.video.clip import ClipFrame
from nearfar.pipeline.config import FAMILY_OPTIONS, PredictConfig
from nearfar.pipeline.video.config import VideoConfig

from .predictions import Estimate, EstimateSettings
from .value_space import conversion_for, value_space_of

if TYPE_CHECKING:
    from nearfar.pipeline.video.state import ClipModel

_PROBE_SIDE = 64


class VideoEstimator:
    """A `ClipModel`, asked for its own map where the protocol accepts that, else for metres.

    Scene cuts are not looked for: a benchmark's clip is one shot.
    """

    def __init__(
        self,
        model: ClipModel,
        *,
        accepts: Mapping[str, str],
        protocol: str,
        settings: EstimateSettings,
    ) -> None:
        """Find out the model's value space on a small grey frame; ConfigError if it is refused."""
        for name in FAMILY_OPTIONS:
            if getattr(settings, name) is not None:
                option = f"--{name.replace('_', '-')}"
                raise ConfigError(option, f"means nothing to {model.name}", "Leave it out")
        self._model, self._settings = model, settings
        grey = np.full((_PROBE_SIDE, _PROBE_SIDE, 3), 128, np.uint8)
        probe = next(model.stream(_clip([grey]), self._config(metric=False))).result
        own = value_space_of(probe.kind)
        self._wants_metres = own not in accepts and "metric" in accepts
        self.value_space = "metric" if self._wants_metres else own
        conversion_for(accepts, self.value_space, protocol=protocol)
        self._own_value_space, self._protocol = own, protocol

    @property
    def facts(self) -> Mapping[str, Any]:
        """Name, value spaces, weights and licence."""
        model = self._model
        return {
            "name": model.name,
            "family": self.value_space,
            "own_family": self._own_value_space,
            "weights_sha256": model.weights_sha256,
            "licence": model.licence,
            "per_frame": model.per_frame,
            "default_steps": model.steps(VideoConfig()),
        }

    @property
    def gives_uncertainty(self) -> bool:
        """Video models give none."""
        return False

    def estimate(self, rgb_HW3: NDArray[np.uint8]) -> Estimate:
        """The depth of a photo."""
        return next(self.estimate_clip([rgb_HW3]))

    def estimate_clip(self, frames: Iterable[NDArray[np.uint8]]) -> Iterator[Estimate]:
        """The depth of every frame.

        Its seconds are those this frame was waited for: a window's first frame takes the whole
        window's time, the others nearly none. Only their sum over a clip means something.
        """
        items = iter(self._model.stream(_clip(frames), self._config(metric=self._wants_metres)))
        while True:
            started = time.perf_counter()  # not before the caller has done with the frame before
            item = next(items, None)
            seconds = time.perf_counter() - started
            if item is None:
                return
            result = item.result
            value_space = value_space_of(result.kind)
            if value_space != self.value_space:
                raise ConfigError(
                    f"protocol {self._protocol}",
                    f"{self._model.name} gave {value_space}, expected {self.value_space}",
                    "It has no metric reference; choose a protocol that accepts its own map",
                )
            depth_HW = result.depth.astype(np.float64)
            yield Estimate(depth_HW, value_space, result.sky, None, result.fov_x_deg, seconds)

    def _config(self, *, metric: bool) -> VideoConfig:
        settings = self._settings
        predict = PredictConfig(
            steps=settings.steps,
            ensemble_size=settings.ensemble_size,
            seed=settings.seed,
            resolution=settings.resolution,
            metric=metric,
        )
        return VideoConfig(predict=predict, cuts=False)


def _clip(frames: Iterable[NDArray[np.uint8]]) -> Iterator[ClipFrame]:
    for index, rgb_HW3 in enumerate(frames):
        yield ClipFrame(index=index, time=Fraction(index), rgb_HW3=rgb_HW3)
