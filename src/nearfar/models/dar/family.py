"""What DAR says about itself (nearfar/family.py)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from nearfar.family import (
    Family,
    NetworkKind,
    NetworkParts,
    PredictorParts,
    Recognized,
    ReleasedFile,
    ReleasedForm,
    TrainedKind,
    TrainingParts,
    TrainingTarget,
    embedded,
)

if TYPE_CHECKING:
    from torch import Tensor

    from .predictor import DARPredictor


def _parts() -> NetworkParts:
    from .config import DARConfig
    from .network import DARNetwork
    from .presets import PRESETS

    return NetworkParts(DARConfig, DARNetwork, PRESETS)


def _predictor(parts: PredictorParts) -> DARPredictor:
    from .predictor import DARPredictor

    return DARPredictor(parts.network, default_area=parts.area, dtype=parts.dtype)


def _is_public_code(tensors: Mapping[str, Tensor], prefixes: frozenset[str]) -> bool:
    return any(name.startswith("decoder.update.") for name in tensors)


def _read(file: ReleasedFile) -> Recognized:
    from .keys import read_released

    return read_released(file)


def _target(parts: TrainingParts) -> TrainingTarget:
    from .objective import target

    return target(parts)


def _objective() -> Any:
    from .objective import DARObjective

    return DARObjective


FAMILY = Family(
    name="dar",
    position=4,
    networks=(
        NetworkKind(
            name="dar",
            parts=_parts,
            predictor=_predictor,
            has_own_encoder=True,
            stem="encoder.backbone.",
        ),
    ),
    entries=(embedded("dar-tiny", "dar", encoder="", preset="tiny_photo", area=192 * 256),),
    training=(TrainedKind(name="dar", kind="dar", target=_target, alone=_objective, splits=True),),
    forms=(ReleasedForm(name="dar", is_this=_is_public_code, read=_read),),
)
