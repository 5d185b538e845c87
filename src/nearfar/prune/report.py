"""What a pruning did, layer by layer, and what it changed."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from .config import PruneConfig

_NOTES = {
    "unstructured": "zeros lie anywhere: dense kernels are no faster and the file is no smaller",
    "nm": "n:m zeros are faster only with kernels made for them (2:4 on recent CUDA devices), "
    "which nearfar does not use; the file is no smaller",
    "structured": "heads and neurons are cut out: network and file are smaller, on any device",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class LayerReport:
    """kept, removed: weights of the layer, or its inputs where whole ones are cut (structured).

    error: root mean square change of the layer's output on the calibration photos, as a share of
    that output.
    """

    name: str
    kept: int
    removed: int
    error: float


@dataclass(frozen=True, kw_only=True, slots=True)
class PruneReport:
    """deviation: mean absolute difference to the maps of the unpruned model, in its own unit.

    It is measured on the first `compared` calibration photos with the same noise. spread: standard
    deviation of those maps. zeros: share of zeros in the layers that can be pruned. seconds_before,
    seconds_after: of the fastest of those predictions, encoder included. seconds: of the pruning.
    """

    model: str
    config: PruneConfig
    photos: int
    compared: int
    layers: tuple[LayerReport, ...]
    parameters_before: int
    parameters_after: int
    zeros: float
    deviation: float
    spread: float
    seconds_before: float
    seconds_after: float
    seconds: float

    def as_table(self) -> dict[str, Any]:
        """Plain values for JSON, with a note on what this kind of pruning is good for."""
        return asdict(self) | {"note": _NOTES[self.config.mode]}
