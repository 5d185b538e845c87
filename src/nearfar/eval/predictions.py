"""Where predictions come from: a model by name, a video model asked for clips, or a baseline."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from nearfar.errors import ConfigError
from nearfar.io.video.clip import ClipFrame
from nearfar.pipeline.config import FAMILY_OPTIONS, PredictConfig
from nearfar.pipeline.video.config import VideoConfig

from .circumstances import network_facts
from .metrics.image import flat_map, row_ramp
from .value_space import conversion_for, value_space_of

if TYPE_CHECKING:
    from nearfar.pipeline.predict import Model
    from nearfar.pipeline.video.state import ClipModel
    from nearfar.result import DepthResult


BASELINES = {"flat": flat_map, "row-ramp": row_ramp}
_PROBE_SIDE = 64


class Estimate(NamedTuple):
    """A map at the photo's size, float64, NaN where the model says nothing, and its value space.

    sky_HW: pixels the model calls sky (NaN in the map), None if it does not tell. uncertainty_HW:
    standard deviation in the map's unit, or None. seconds: of the prediction alone.
    """

    map_HW: NDArray[np.float64]
    value_space: str
    sky_HW: NDArray[np.bool_] | None
    uncertainty_HW: NDArray[np.float64] | None
    fov_x_deg: float | None
    seconds: float


class Estimator(Protocol):
    """What an evaluation asks: one photo in, one `Estimate` out, and what to call the result."""

    @property
    def facts(self) -> Mapping[str, Any]:
        """Name, value space, weights and licence, for the result."""
        ...

    @property
    def gives_uncertainty(self) -> bool:
        """Whether every estimate has an uncertainty."""
        ...

    def estimate(self, rgb_HW3: NDArray[np.uint8]) -> Estimate:
        """The depth of one photo."""
        ...


@runtime_checkable
class ClipEstimator(Protocol):
    """An estimator that looks at all frames of a clip together."""

    def estimate_clip(self, frames: Iterable[NDArray[np.uint8]]) -> Iterator[Estimate]:
        """The depth of every frame, in order."""
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class EstimateSettings:
    """How a model is asked: None = its own choice; the same seed for every photo.

    guidance_scale, stop_at, ensemble_start: only for families that have them (pipeline/config.py).
    """

    steps: int | None = None
    ensemble_size: int = 1
    seed: int = 0
    resolution: int | None = None
    guidance_scale: float | None = None
    stop_at: int | None = None
    ensemble_start: str | None = None


class ModelEstimator:
    """A `Model`, asked for its own map where the protocol accepts that, else for metres."""

    def __init__(
        self,
        model: Model,
        *,
        accepts: Mapping[str, str],
        protocol: str,
        settings: EstimateSettings,
    ) -> None:
        """Find the model's value space on a small grey picture; ConfigError if it is refused."""
        self._model, self._settings = model, settings
        grey = np.full((_PROBE_SIDE, _PROBE_SIDE, 3), 128, np.uint8)
        # one call tells the kind; a family without sampling steps refuses others here, not later
        steps = 1 if model.default_steps > 1 else settings.steps
        probe = model.predict(
            grey,
            steps=steps,
            metric=False,
            guidance_scale=settings.guidance_scale,
            stop_at=settings.stop_at,
            ensemble_start=settings.ensemble_start,
        )
        own = value_space_of(probe.kind)
        # some families state a spread for a single hypothesis
        self._has_spread = settings.ensemble_size > 1 or probe.uncertainty is not None
        self.value_space = _asked_space(own, accepts, protocol=protocol)
        self._wants_metres = self.value_space != own
        self._own_value_space, self._protocol = own, protocol
        self._networks = network_facts(model.networks)

    @property
    def facts(self) -> Mapping[str, Any]:
        """Name, value spaces, weights, licence, and each network with the hash of its config."""
        model = self._model
        return {
            "name": model.name,
            "family": self.value_space,
            "own_family": self._own_value_space,
            "weights_sha256": model.weights_sha256,
            "licence": model.licence,
            "default_steps": model.default_steps,
            "networks": self._networks,
        }

    @property
    def gives_uncertainty(self) -> bool:
        """True for ensembles, and for families that know the spread of one hypothesis."""
        return self._has_spread

    def estimate(self, rgb_HW3: NDArray[np.uint8]) -> Estimate:
        """One prediction with this estimator's settings; ConfigError if it has no metres."""
        settings = self._settings
        started = time.perf_counter()
        result: DepthResult = self._model.predict(
            rgb_HW3,
            steps=settings.steps,
            ensemble_size=settings.ensemble_size,
            seed=settings.seed,
            resolution=settings.resolution,
            guidance_scale=settings.guidance_scale,
            stop_at=settings.stop_at,
            ensemble_start=settings.ensemble_start,
            metric=self._wants_metres,
        )
        seconds = time.perf_counter() - started
        _require_space(result, self.value_space, model=self._model.name, protocol=self._protocol)
        spread = result.uncertainty
        return Estimate(
            result.depth.astype(np.float64),
            self.value_space,
            result.sky,
            None if spread is None else spread.astype(np.float64),
            result.fov_x_deg,
            seconds,
        )


class GivenMaps:
    """The maps of a clip's frames, predicted before: what a training shows of its held-out data."""

    def __init__(self, maps_THW: NDArray, *, value_space: str) -> None:
        self._maps_THW, self.value_space = maps_THW, value_space

    @property
    def facts(self) -> Mapping[str, Any]:
        """Nothing: who predicted them knows."""
        return {}

    @property
    def gives_uncertainty(self) -> bool:
        """Never."""
        return False

    def estimate(self, rgb_HW3: NDArray[np.uint8]) -> Estimate:
        """The first map, whatever the photo."""
        return next(self.estimate_clip([rgb_HW3]))

    def estimate_clip(self, frames: Iterable[NDArray[np.uint8]]) -> Iterator[Estimate]:
        """The maps in order, one for each frame."""
        for map_HW, _ in zip(self._maps_THW, frames, strict=False):
            values_HW = map_HW.astype(np.float64)
            yield Estimate(values_HW, self.value_space, None, None, None, 0.0)


class BaselineEstimator:
    """A map that looks at no photo, as ln(metres + 1) up to a line: what any model must beat."""

    def __init__(self, name: str, *, accepts: Mapping[str, str], protocol: str) -> None:
        """`name` is a key of BASELINES; ConfigError where the protocol refuses its value space."""
        self._name, self.value_space = name, "affine_log1p"
        conversion_for(accepts, self.value_space, protocol=protocol)

    @property
    def facts(self) -> Mapping[str, Any]:
        """Name and value space; there are no weights."""
        return {
            "name": self._name,
            "family": self.value_space,
            "own_family": self.value_space,
            "weights_sha256": "",
            "licence": "none",
            "default_steps": 0,
        }

    @property
    def gives_uncertainty(self) -> bool:
        """Never."""
        return False

    def estimate(self, rgb_HW3: NDArray[np.uint8]) -> Estimate:
        """The same map for every photo of this size."""
        started = time.perf_counter()
        map_HW = BASELINES[self._name](rgb_HW3.shape[:2])
        return Estimate(map_HW, self.value_space, None, None, None, time.perf_counter() - started)


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
        self.value_space = _asked_space(own, accepts, protocol=protocol)
        self._wants_metres = self.value_space != own
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
            space, model = self.value_space, self._model
            _require_space(result, space, model=model.name, protocol=self._protocol)
            depth_HW = result.depth.astype(np.float64)
            yield Estimate(depth_HW, space, result.sky, None, result.fov_x_deg, seconds)

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


def _asked_space(own: str, accepts: Mapping[str, str], *, protocol: str) -> str:
    """The model's own value space where a protocol accepts it, else metres; ConfigError if neither.

    Metres are asked for only where the model's own map would be refused.
    """
    asked = "metric" if own not in accepts and "metric" in accepts else own
    conversion_for(accepts, asked, protocol=protocol)
    return asked


def _require_space(result: DepthResult, expected: str, *, model: str, protocol: str) -> None:
    """ConfigError unless a result has the value space that was asked for."""
    found = value_space_of(result.kind)
    if found != expected:
        raise ConfigError(
            f"protocol {protocol}",
            f"{model} gave {found}, expected {expected}",
            "No metric reference for this photo; choose a protocol that accepts its own map",
        )


def _clip(frames: Iterable[NDArray[np.uint8]]) -> Iterator[ClipFrame]:
    for index, rgb_HW3 in enumerate(frames):
        yield ClipFrame(index=index, time=Fraction(index), rgb_HW3=rgb_HW3)
