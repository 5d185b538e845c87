"""Table: model kind -> the network to train, its objective, and how to look at it.

Depth families describe how they are trained themselves (`Family.training`); encoders and tokenizers
are set up here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from nearfar.batch import ClipBatch, DepthBatch
from nearfar.errors import ConfigError, WeightsError
from nearfar.family import TrainedKind, TrainingTarget
from nearfar.layers.initial import draw_weights
from nearfar.models.base import ClipObjective, Objective
from nearfar.weights.families import FAMILIES, NETWORKS

from .clip_targets import tiny_video_encoder
from .config import Recipe
from .frozen_parts import freeze_parts, packaged_backbone
from .recipe_parts import RecipeParts, checked_options, preset_of
from .shards import put_network
from .tokenizer_target import depth_tokenizer

TargetBuilder = Callable[[Recipe, torch.device], TrainingTarget]


class TrainedObjective(nn.Module):
    """Network and objective as one module, so that DDP and FSDP see the call they must wrap.

    Only the network is registered: what the objective holds besides (a frozen encoder) is not
    trained, not synchronized and not saved. dtype: the recipe's, settled: bf16 or fp32.
    """

    def __init__(
        self, network: nn.Module, objective: Objective | ClipObjective, *, dtype: str
    ) -> None:
        super().__init__()
        self.network = network
        self.dtype = dtype
        self.__dict__["objective"] = objective  # past Module.__setattr__: not registered

    def forward(self, batch: DepthBatch, *, generator: torch.Generator) -> Any:
        """Losses; a batch of [B,T,...] reaches the objective as the clips it holds."""
        given = batch if batch.depth_BHW.ndim == 3 else ClipBatch(*batch)
        with autocast(batch.image_B3HW.device, self.dtype):
            return self.__dict__["objective"](given, generator=generator)


def autocast(device: torch.device, dtype: str) -> torch.autocast:
    """bf16 for matrix products and convolutions over fp32 weights, or nothing for fp32.

    Ours rather than accelerate's, whose precision is fixed for the whole process.
    """
    assert dtype in ("bf16", "fp32"), dtype  # "auto" is settled when a run starts
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=dtype == "bf16")


def build_target(recipe: Recipe, device: torch.device) -> TrainingTarget:
    """Network (initialized from train.seed) and objective of the recipe, on the device."""
    kind = recipe.model.kind
    if kind not in TARGETS:
        raise ConfigError(
            "model.kind", f"unknown kind {kind!r}", f"Use one of {', '.join(TARGETS)}"
        )
    with torch.random.fork_rng(devices=[]):  # constructors draw; the caller's state is kept
        target = TARGETS[kind](recipe, device)
    freeze_parts(target.network, recipe.train.frozen)
    return target


def read_initial(path: Path) -> dict[str, Tensor]:
    """Tensors to start from, by our names: of an entry or file of ours, or of a published VAR."""
    from nearfar.weights.load import obtain
    from nearfar.weights.registry import ENTRIES, find
    from nearfar.weights.safe import is_pickle, read_pickle, read_safetensors

    path = obtain(find(str(path))) if str(path) in ENTRIES else path
    content = read_pickle(path) if is_pickle(path) else read_safetensors(path).tensors
    for start_from in (family.start_from for family in FAMILIES if family.start_from):
        foreign = start_from(content, path)
        if foreign is not None:
            return dict(foreign)
    return {name: tensor for name, tensor in content.items() if isinstance(tensor, Tensor)}


def load_initial(network: nn.Module, state: Mapping[str, Tensor], *, strict: bool) -> list[str]:
    """Start from other weights; returns what did not fit, one line each (strict: raises)."""
    own = network.state_dict()
    faults = [f"{name}: missing" for name in own if name not in state]
    faults += [f"{name}: not in this network" for name in state if name not in own]
    faults += [
        f"{name}: shape {list(state[name].shape)}, here {list(own[name].shape)}"
        for name in own
        if name in state and state[name].shape != own[name].shape
    ]
    if strict and faults:
        raise WeightsError(
            "train.init_from",
            f"{len(faults)} tensors do not fit ({'; '.join(faults[:3])})",
            "Set train.init_strict=false to take what fits",
        )
    fitting = {n: t for n, t in state.items() if n in own and t.shape == own[n].shape}
    if not fitting:
        raise WeightsError("train.init_from", "no tensor of it fits this network")
    put_network(network, fitting, strict=False)
    return faults


def _tiny_encoder(recipe: Recipe, device: torch.device) -> TrainingTarget:
    from nearfar.encoders.tiny import PRESETS, TinyEncoder
    from nearfar.encoders.tiny_objective import TinyEncoderObjective

    network = TinyEncoder(preset_of(PRESETS, recipe))
    draw_weights(network, generator=torch.Generator().manual_seed(recipe.train.seed))
    network.to(device)
    options = checked_options(TinyEncoderObjective, recipe.train.objective)

    def preview(image_B3HW: Tensor, generator: torch.Generator, steps: int) -> Tensor:
        return torch.log1p(network.metric(image_B3HW).depth_BHW)

    return TrainingTarget(
        network=network,
        objective=TinyEncoderObjective(network, **options),
        preview=preview,
        family="tiny_encoder",
        preset=recipe.model.preset,
        encoder=network.name,
    )


def _photo_encoder(recipe: Recipe, device: torch.device) -> TrainingTarget:
    from nearfar.encoders.efficientnet_lite import from_published
    from nearfar.encoders.photo import PRESETS, PhotoEncoder
    from nearfar.encoders.photo_objective import PhotoEncoderObjective

    network = PhotoEncoder(preset_of(PRESETS, recipe))
    generator = torch.Generator().manual_seed(recipe.train.seed)
    draw_weights(network.decoder, generator=generator)
    torch.nn.init.zeros_(network.decoder.maps.weight)
    if not recipe.model.backbone:
        draw_weights(network.backbone, generator=generator)
    else:
        found = packaged_backbone(recipe.model.backbone)
        config = network.config.backbone
        network.backbone.load_state_dict(
            from_published(found.tensors, config, where=found.path), strict=True
        )
    network.to(device)
    options = checked_options(PhotoEncoderObjective, recipe.train.objective)

    def preview(image_B3HW: Tensor, generator: torch.Generator, steps: int) -> Tensor:
        return torch.log1p(network.metric(image_B3HW).depth_BHW)

    return TrainingTarget(
        network=network,
        objective=PhotoEncoderObjective(network, **options),
        preview=preview,
        family="photo_encoder",
        preset=recipe.model.preset,
        encoder=network.name,
    )


def _of_family(trained: TrainedKind) -> TargetBuilder:
    """A builder from a family's own description."""

    def build(recipe: Recipe, device: torch.device) -> TrainingTarget:
        presets = NETWORKS[trained.kind].presets
        config = preset_of(presets, recipe)
        return trained.target(RecipeParts(recipe, config=config, device=device))

    return build


TRAINED: dict[str, TrainedKind] = {
    trained.name: trained for family in FAMILIES for trained in family.training
}
TARGETS: dict[str, TargetBuilder] = {
    "tiny_encoder": _tiny_encoder,
    "photo_encoder": _photo_encoder,
    "tiny_video_encoder": tiny_video_encoder,
    **{name: _of_family(trained) for name, trained in TRAINED.items()},
    "depth_tokenizer": depth_tokenizer,
}
