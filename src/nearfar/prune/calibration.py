"""Photos run through a model, and what its layers are given on the way. No depth is needed."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from nearfar.errors import InputError
from nearfar.layers.prunable import PrunableUnit
from nearfar.pipeline.config import PredictConfig
from nearfar.weights.load import LoadedModel

from .config import PruneConfig
from .hessian import HessianAccumulator, timestep_weights

SYNTHETIC_SEED = 3_000_017  # of scenes that neither training nor evaluation draws
_SIZE_HW = (192, 256)
_FLAT = 0.02  # a photo whose values, 0..1, differ by less says nothing


class Answers(NamedTuple):
    """What a model says of photos: its maps [h,w] in its own unit; seconds of its fastest one."""

    maps: list[Tensor]
    seconds: float


def synthetic_photos(count: int, *, on_photo: Callable[[], None] = lambda: None) -> list[Tensor]:
    """Rendered scenes as calibration photos [3,192,256] in 0..1, always the same.

    on_photo: told after each of them.
    """
    from nearfar.data.scenes.options import SceneOptions
    from nearfar.data.scenes.renderer import render_scenes

    options = SceneOptions(texture_seed=SYNTHETIC_SEED)
    photos = []
    for i in range(count):
        drawn = render_scenes(
            [i], seed=SYNTHETIC_SEED, size_hw=_SIZE_HW, device="cpu", options=options
        )
        photos.append(drawn.image_B3HW[0])
        on_photo()
    return photos


def require_pictures(photos: Sequence[Tensor]) -> None:
    """Pass if there is a photo that is not one flat color; InputError otherwise."""
    if not photos:
        raise InputError("calibration", "no photos", "A dozen of those the model will see")
    if all(photo.max() - photo.min() < _FLAT for photo in photos):
        what = "the only picture is" if len(photos) == 1 else f"all {len(photos)} pictures are"
        raise InputError(
            "calibration", f"{what} flat, layers show nothing of theirs", "Give real photos"
        )


def answers(model: LoadedModel, photos: Sequence[Tensor], config: PruneConfig) -> Answers:
    """The model's maps of photos, each from its own noise: the same at every call."""
    maps, seconds = [], []
    for index, photo_3HW in enumerate(photos):
        started = time.perf_counter()
        maps.append(_predict(model, photo_3HW, index, config))
        seconds.append(time.perf_counter() - started)
    return Answers(maps, min(seconds))


def layer_hessians(
    model: LoadedModel,
    photos: Sequence[Tensor],
    units: Sequence[PrunableUnit],
    config: PruneConfig,
    *,
    on_photo: Callable[[], None],
) -> dict[str, Tensor]:
    """The Hessian of every layer by its name, over all photos and sampling steps."""
    steps = config.steps or model.predictor.default_steps
    weights = timestep_weights(config.weighting, steps, low=config.low, high=config.high)
    found = {
        unit.name: HessianAccumulator(unit.linear.in_features, device=unit.linear.weight.device)
        for unit in units
    }
    for index, photo_3HW in enumerate(photos):
        with _watched(units, found, weights):
            _predict(model, photo_3HW, index, config)
        on_photo()
    return {name: one.hessian for name, one in found.items()}


@contextmanager
def _watched(
    units: Sequence[PrunableUnit],
    found: dict[str, HessianAccumulator],
    weights: Sequence[float],
) -> Iterator[None]:
    """Counts what layers are given; the n-th call of a layer is the n-th sampling step."""

    def watch(unit: PrunableUnit) -> Any:
        step = iter(weights)

        def count(_: nn.Module, given: tuple[Tensor, ...]) -> None:
            found[unit.name].add(given[0], weight=next(step))

        return unit.linear.register_forward_pre_hook(count)

    hooks = [watch(unit) for unit in units]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def _predict(model: LoadedModel, photo_3HW: Tensor, index: int, config: PruneConfig) -> Tensor:
    """One map [h,w] of a photo, from the noise that belongs to its number."""
    predictor = model.predictor
    settings = PredictConfig(steps=config.steps or predictor.default_steps, seed=config.seed)
    generator = torch.Generator().manual_seed(1_000_003 * config.seed + index)
    with torch.inference_mode():
        found = predictor.predict(
            photo_3HW, settings, area=predictor.default_area, generators=[generator]
        )
    return found.depth_Shw[0].clone()
