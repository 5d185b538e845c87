"""`Model.predict`: a photo in, a `DepthResult` at the photo's own size out."""

from __future__ import annotations

import copy
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack, overload

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from nearfar.errors import ConfigError, NearfarError, ResourceError, WeightsError
from nearfar.geometry.upsample import guided_indices, upsample_nearest
from nearfar.io.images import Photo, to_photo
from nearfar.models.base import Hypotheses
from nearfar.predict_config import (
    FAMILY_OPTIONS,
    PredictConfig,
    PredictSettings,
    predict_config,
)
from nearfar.result import DepthKind, DepthResult
from nearfar.settings import max_pixels, own_precision

from .calibration import calibrated, calibration_of
from .ensemble import merge_hypotheses
from .metres import (
    Metres,
    Reference,
    can_measure,
    choose_camera,
    note_sky,
    reference_of,
    to_metres,
)

if TYPE_CHECKING:
    from nearfar.weights.load import LoadedModel

_NETWORK, _ALIGNMENT = 1, 2  # independent streams drawn from one seed


class Model:
    """A depth family with its weights; `predict` is all it does, and it keeps no state between."""

    def __init__(self, loaded: LoadedModel) -> None:
        self._predictor = loaded.predictor
        self.name = loaded.entry.name
        self.licence = loaded.entry.licence
        self.weights_sha256 = loaded.sha256
        self._options = loaded.predictor.options
        self._calibration = calibration_of(loaded.entry.uncertainty, where=self.name)
        self._metric_from: Model | None = None

    def __repr__(self) -> str:
        parts = [
            f"{name} {sum(p.numel() for p in part.parameters()) / 1e6:.1f} M parameters"
            for name, part in self.networks.items()
        ]
        facts = [f"default steps {self.default_steps}", f"licence {self.licence}"]
        return f"<Model {self.name}: {', '.join([*parts, *facts])}>"

    @property
    def default_steps(self) -> int:
        """Network calls per hypothesis when none are asked for."""
        return self._predictor.default_steps

    @property
    def networks(self) -> dict[str, torch.nn.Module]:
        """The networks of this model by their part (network, encoder, ...), each once."""
        parts = {name.strip("_"): part for name, part in vars(self._predictor).items()}
        modules = {n: part for n, part in parts.items() if isinstance(part, torch.nn.Module)}
        return {n: part for n, part in modules.items() if _first_name(modules, part) == n}

    def with_metres_of(self, other: Model) -> Model:
        """This model, whose maps get metres, sky and field of view from another one's answers.

        Predicting raises ConfigError if the other has no metres, or this one has its own.
        """
        measured = copy.copy(self)
        measured._metric_from = other
        return measured

    def require(self, config: PredictConfig) -> None:
        """Pass if this model has the options asked for; ConfigError names one that it lacks."""
        for name, lacks in FAMILY_OPTIONS.items():
            if getattr(config, name) is not None and name not in self._options:
                raise ConfigError(name, f"{self.name} {lacks}", "Leave it out")

    @overload
    def predict(
        self, image: list[Any] | tuple[Any, ...], **settings: Unpack[PredictSettings]
    ) -> list[DepthResult]: ...

    @overload
    def predict(
        self,
        image: str | Path | NDArray | torch.Tensor | Photo,
        **settings: Unpack[PredictSettings],
    ) -> DepthResult: ...

    def predict(
        self, image: Any, **settings: Unpack[PredictSettings]
    ) -> DepthResult | list[DepthResult]:
        """Depth of a photo at its own size, NaN where invalid; a list of photos gives a list.

        image: path, PIL image, uint8 [H,W,3], float [3,H,W] in 0..1, or a list of those in any
        sizes. Settings: see `PredictConfig`. Every photo starts from the same `seed`, so results
        depend on neither batch nor order. metric=True gives metres where the model has a metric
        reference, else the map keeps its kind. Errors: InputError, ConfigError, ResourceError.
        """
        config = predict_config(settings)
        self.require(config)
        if isinstance(image, list | tuple):
            return [self._depth_of(item, config) for item in image]
        return self._depth_of(image, config)

    def _depth_of(self, image: Any, config: PredictConfig) -> DepthResult:
        started = time.perf_counter()
        photo = to_photo(image, max_pixels=max_pixels())
        result = self.of_photo(photo, config)
        note_sky(result, photo.path or "image")
        return replace(result, seconds=time.perf_counter() - started)

    def of_photo(self, photo: Photo, config: PredictConfig) -> DepthResult:
        """`predict` of a photo that nobody else writes into; nothing is logged about its sky."""
        with own_precision(device_type(self._predictor)):
            return self._result(photo, config)

    def _result(self, photo: Photo, config: PredictConfig) -> DepthResult:
        hypotheses = self._draw(photo, config)
        kind, guess = hypotheses.kind, _as_numpy(hypotheses)
        if self._metric_from is not None and config.metric:
            guess = self._measured(self._metric_from, photo, hypotheses)
        size_hw = (hypotheses.depth_Shw.shape[-2], hypotheses.depth_Shw.shape[-1])
        opaque_hw = np.ones(size_hw, np.bool_)
        if photo.opaque_HW is not None:
            opaque_hw = upsample_nearest(photo.opaque_HW, size_hw).astype(np.bool_)
        merged = merge_hypotheses(
            hypotheses.depth_Shw.numpy(), kind=kind, spread_SHW=_own_spread(hypotheses)
        )
        merged = calibrated(merged, self._calibration, kind=kind)
        low, metric_reference = Metres(*merged), None
        if kind is DepthKind.METRIC:
            metric_reference = self.name
        elif config.metric and guess is not None and can_measure(guess, opaque_hw):
            stream = np.random.default_rng([config.seed, _ALIGNMENT])
            low = to_metres(merged, guess, kind=kind, generator=stream, opaque_HW=opaque_hw)
            kind, metric_reference = DepthKind.METRIC, guess.name
        # one choice of cells for every map: depth, spread and sky of a pixel belong together
        cells_HW = guided_indices(hypotheses.guide_hw3.numpy(), photo.rgb_HW3)
        sky_HW = None if guess is None else ~guess.valid_HW.ravel()[cells_HW]
        depth_HW = low.depth_HW.ravel()[cells_HW]
        valid_HW = np.isfinite(depth_HW) if sky_HW is None else np.isfinite(depth_HW) & ~sky_HW
        if photo.opaque_HW is not None:
            valid_HW &= photo.opaque_HW
            sky_HW = None if sky_HW is None else sky_HW & photo.opaque_HW
        depth_HW[~valid_HW] = np.nan
        spread_HW = None
        if low.uncertainty_HW is not None:
            spread_HW = low.uncertainty_HW.ravel()[cells_HW]
            spread_HW[~valid_HW] = np.nan
        camera = choose_camera(
            depth_HW.shape, fov_x_deg=config.fov_x_deg, focal_px=photo.focal_px, reference=guess
        )
        return DepthResult(
            depth=depth_HW,
            kind=kind,
            valid=valid_HW,
            sky=sky_HW,
            uncertainty=spread_HW,
            intrinsics=camera.intrinsics_33,
            fov_x_deg=camera.fov_x_deg,
            metric_reference=metric_reference,
            model=self.name,
            weights_sha256=self.weights_sha256,
            seed=config.seed,
            steps=config.steps or self.default_steps,
            licence=self.licence,
            image=photo.rgb_HW3,
        )

    def _measured(self, other: Model, photo: Photo, hypotheses: Hypotheses) -> Reference:
        """What another model says of the photo, at the size of the hypotheses."""
        if hypotheses.kind is DepthKind.METRIC:
            raise ConfigError("metric_from", f"{self.name} gives metres itself", "Leave it out")
        result = other.predict(photo)
        if result.kind is not DepthKind.METRIC:
            raise ConfigError("metric_from", f"{other.name} gives no metres", "Try dar-tiny")
        size_hw = (hypotheses.depth_Shw.shape[-2], hypotheses.depth_Shw.shape[-1])
        return reference_of(result, size_hw)

    def _draw(self, photo: Photo, config: PredictConfig) -> Hypotheses:
        """Hypotheses of the network, all finite; out of memory becomes a ResourceError."""
        size_hw = (photo.rgb_HW3.shape[0], photo.rgb_HW3.shape[1])
        area = config.network_area(size_hw, self._predictor.default_area)
        try:
            with torch.inference_mode():
                hypotheses = self._predictor.predict(
                    network_image(photo.rgb_HW3, area=area),
                    replace(config, steps=config.steps or self.default_steps),
                    area=area,
                    generators=[_generator(config.seed, i) for i in range(config.ensemble_size)],
                )
        except NearfarError:
            raise
        except (MemoryError, RuntimeError) as error:
            if "memory" not in str(error).lower() and not isinstance(error, MemoryError):
                raise
            raise ResourceError(
                f"{self.name} at {area} pixels", "out of memory", "Use a smaller resolution"
            ) from error
        finite = torch.isfinite(hypotheses.depth_Shw)
        if not finite.all():
            raise WeightsError(
                self.name,
                f"the network gave NaN or infinity at {int((~finite).sum())} pixels",
                "The weights may be damaged; try dtype fp32",
            )
        return hypotheses


def device_type(predictor: object) -> str:
    """The type of device that a predictor's networks are on; cpu without networks."""
    parts = [part for part in vars(predictor).values() if isinstance(part, torch.nn.Module)]
    return next((p.device.type for part in parts for p in part.parameters()), "cpu")


def _first_name(modules: dict[str, torch.nn.Module], part: torch.nn.Module) -> str:
    """The first of the names under which a predictor holds a network."""
    return next(name for name, one in modules.items() if one is part)


def _generator(seed: int, hypothesis: int) -> torch.Generator:
    """The CPU generator of one hypothesis: the same whatever the ensemble's size."""
    mixed = np.random.default_rng([seed, _NETWORK, hypothesis]).integers(2**63)
    return torch.Generator().manual_seed(int(mixed))


def _own_spread(hypotheses: Hypotheses) -> NDArray[np.float32] | None:
    """The family's own standard deviations as numpy, None if it has none."""
    spread = hypotheses.spread_Shw
    return None if spread is None else spread.numpy()


def _as_numpy(hypotheses: Hypotheses) -> Reference | None:
    """The metric reference as numpy, None if the model has none."""
    guess = hypotheses.reference
    if guess is None:
        return None
    return Reference(
        guess.depth_HW.float().cpu().numpy(),
        guess.valid_HW.cpu().numpy(),
        float(guess.fov_x_deg),
        guess.name,
    )


# The photo as the network's tensor.

_SHRINK_ABOVE = 16_000_000  # pixels


def network_image(rgb_HW3: NDArray[np.uint8], *, area: int) -> Tensor:
    """Float [3,H,W] in 0..1; photos over 16 megapixels are first averaged by a whole factor.

    The factor leaves at least twice the sides of `area`, so what the network sees hardly changes,
    while a 100-megapixel photo does not need gigabytes of floats.
    """
    height, width = rgb_HW3.shape[:2]
    factor = 1
    if height * width > _SHRINK_ABOVE:
        factor = min(height, width, max(1, int((height * width / (4 * area)) ** 0.5)))
    if factor > 1:
        rgb_HW3 = _average(rgb_HW3, factor)
    image_3HW = torch.from_numpy(rgb_HW3.transpose(2, 0, 1).copy())
    return image_3HW.to(torch.float32).div_(255)


def _average(rgb_HW3: NDArray[np.uint8], factor: int) -> NDArray[np.uint8]:
    """Means of factor x factor blocks, rounded; a remainder at the right and bottom is cut."""
    height, width = rgb_HW3.shape[0] // factor, rgb_HW3.shape[1] // factor
    out = np.empty((height, width, 3), np.uint8)
    for row in range(height):
        block = rgb_HW3[row * factor : (row + 1) * factor, : width * factor]
        sums = block.sum(axis=0, dtype=np.uint32).reshape(width, factor, 3).sum(axis=1)
        out[row] = (sums + factor * factor // 2) // (factor * factor)
    return out
