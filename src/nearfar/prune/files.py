"""Files of pruned networks, finished or on the way."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from torch import Tensor

from nearfar.errors import WeightsError
from nearfar.weights.load import LoadedModel
from nearfar.weights.networks import preset_of
from nearfar.weights.prune_plan import KEY, PrunePlan, plan_from_metadata
from nearfar.weights.published import FORMAT
from nearfar.weights.safe import read_metadata, write_safetensors

from .config import PruneConfig
from .model import PruneState, source_of
from .report import LayerReport

_IDENTITY, _DONE, _LAYERS = "prune_identity", "prune_done", "prune_layers"


def write_pruned(path: Path, model: LoadedModel, plan: PrunePlan) -> Path:
    """Write the model's network with the plan that its readers need; returns the path."""
    return _write(path, model, plan, {})


def write_state(path: Path, model: LoadedModel, state: PruneState, identity: str) -> Path:
    """Write a network that is pruned in part, so that `read_state` can go on from it."""
    layers = json.dumps([asdict(layer) for layer in state.layers])
    extra = {_IDENTITY: identity, _DONE: str(state.done), _LAYERS: layers}
    return _write(path, model, state.plan, extra)


def read_state(path: Path, identity: str) -> PruneState | None:
    """How far the pruning in a file is; None if it is another one. Load the model from the file.

    WeightsError if the file is damaged.
    """
    metadata = read_metadata(path)
    plan = plan_from_metadata(metadata, path)
    if plan is None or metadata.get(_IDENTITY) != identity:
        return None
    try:
        layers = tuple(LayerReport(**layer) for layer in json.loads(metadata[_LAYERS]))
        return PruneState(done=int(metadata[_DONE]), plan=plan, layers=layers)
    except (KeyError, TypeError, ValueError) as error:
        raise WeightsError(path, "damaged state of a pruning", "Start over") from error


def identity_of(model: LoadedModel, photos: Sequence[Tensor], config: PruneConfig) -> str:
    """What a pruning goes by: file, settings, photos. The same means the same result."""
    found = hashlib.sha256(f"{model.sha256} {model.used_encoder_sha256} {config}".encode())
    for photo in photos:
        found.update(photo.contiguous().numpy().tobytes())
    return found.hexdigest()


def _write(path: Path, model: LoadedModel, plan: PrunePlan, extra: dict[str, str]) -> Path:
    source, entry = source_of(model), model.entry
    network: Any = source.network  # with the config that it was built from
    config = network.config
    tensors = {
        name: tensor.to(source.dtype) if tensor.is_floating_point() else tensor
        for name, tensor in network.state_dict().items()
    }
    metadata = {
        "nearfar_format": FORMAT,
        "family": entry.family,
        "preset": preset_of(entry.family, config),
        "config": json.dumps(asdict(config)),
        "encoder": entry.encoder,
        "encoder_sha256": source.encoder_sha256,
        "licence": entry.licence,
        "source": entry.file,
        "source_sha256": model.sha256,
        KEY: plan.text(),
    }
    return write_safetensors(path, tensors, metadata | extra)
