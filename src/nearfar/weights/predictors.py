"""From a network to its family's predictor, as its kind describes it (families.py)."""

from __future__ import annotations

from typing import Any

from torch import nn

from nearfar.errors import WeightsError
from nearfar.family import PredictorParts

from .families import NETWORKS


def build_predictor(kind: str, parts: PredictorParts) -> Any:
    """The Predictor, or VideoPredictor, of a kind that gives depth; see `require_depth`."""
    make = NETWORKS[kind].predictor
    assert make is not None, kind
    return make(parts)


def require_depth(kind: str, where: object) -> None:
    """Pass if weights of this kind predict depth; WeightsError says what they are instead."""
    known = NETWORKS[kind]
    if known.predictor is not None:
        return
    if known.is_encoder:
        finding = f"an encoder ({kind}), not a depth model"
        raise WeightsError(where, finding, "Load the model that runs with it, such as ppd-tiny")
    assert known.instead is not None, kind
    raise WeightsError(where, *known.instead)


def semantics_width(network: nn.Module) -> int:
    """How wide the semantics of an encoder must be; 0 if the network takes none."""
    return int(getattr(network.config, "semantics_width", 0))
