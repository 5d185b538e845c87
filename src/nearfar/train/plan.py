"""What a run would need: sizes and memory of every GPU, found without weights, data or memory.

The network is built and run once over tensors that have shapes but no content (as on torch's meta
device), so two billion parameters are planned in seconds on a laptop. Nothing is read or written.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode

from nearfar.batch import DepthBatch
from nearfar.errors import ConfigError

from .config import Recipe
from .optimizer import make_optimizer
from .recipe_parts import checked_options
from .targets import TARGETS, TRAINED, TrainedObjective

_GIB = 2**30
_FLOAT = 4  # bytes: weights, gradients, averages and optimizer states are float32


class Shares(NamedTuple):
    """What a process with split weights (shards.py) holds besides its shares, in bytes.

    exchange: two blocks' weights (one ahead), one block's gradients on their way to the others, and
    weights and gradients outside of blocks, whole. activations: the gathered weights not among
    them.
    """

    exchange: int
    activations: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """Counts and bytes of one process.

    trained: weights with a gradient. states: numbers the optimizer keeps. activations: bytes kept
    for the backward pass of one batch, with the casts of autocast; None for kinds that stand on
    another network. shares: what `train.shard` adds; None where it is not for the kind. Not in it:
    what a single operation needs for itself, and the allocator's gaps.
    """

    kind: str
    preset: str
    weights: int
    trained: int
    states: int
    activations: int | None
    shares: Shares | None


def plan_run(recipe: Recipe) -> Plan:
    """The plan of a recipe; ConfigError where its kind or preset is unknown."""
    from nearfar.weights.families import NETWORKS

    kind, preset = recipe.model.kind, recipe.model.preset
    if kind not in TARGETS:
        raise ConfigError("model.kind", f"unknown kind {kind!r}", f"Use one of {list(TARGETS)}")
    trained = TRAINED.get(kind)
    if trained is not None and trained.trains_part:
        raise ConfigError("model.kind", f"no plan for {kind!r}")
    family = NETWORKS[kind if trained is None else trained.kind]
    splits = trained is not None and trained.splits
    if preset not in family.presets:
        raise ConfigError("model.preset", f"unknown {preset!r}", f"Use {list(family.presets)}")
    with FakeTensorMode(), torch.random.fork_rng(devices=[]):
        network = family.network(family.presets[preset]).train()
        module = _with_objective(kind, network, recipe)
        weights = sum(p.numel() for p in network.parameters())
        trained = sum(p.numel() for p in network.parameters() if p.requires_grad)
        activations = None if module is None else _activations(module, recipe)
        return Plan(
            kind=kind,
            preset=preset,
            weights=weights,
            trained=trained,
            states=_states(module or network, recipe),
            activations=activations,
            shares=_shares(module, recipe) if module is not None and splits else None,
        )


def plan_text(plan: Plan, recipe: Recipe, *, gpus: int) -> str:
    """Lines for people: gibibytes of a GPU, alone, with copies (DDP), with shares (FSDP2)."""
    kept = {
        "weights": _FLOAT * plan.weights,
        "gradients": _FLOAT * plan.trained,
        "optimizer": _FLOAT * plan.states,
        "average": _FLOAT * plan.weights if recipe.train.ema_decay else 0,
    }
    train, (height, width) = recipe.train, recipe.data.crop
    batch = f"{train.batch_size} photos of {height}x{width}"
    everywhere = plan.activations or 0
    rows = {
        "1 GPU": [*kept.values(), 0, everywhere],
        f"{gpus} GPUs, DDP": [*kept.values(), kept["gradients"], everywhere],
    }
    if plan.shares is not None:
        parts = [-(-size // gpus) for size in kept.values()]
        rows[f"{gpus} GPUs, FSDP"] = [*parts, plan.shares.exchange, plan.shares.activations]
    names = [*kept, "exchange", "activations", "sum"]
    lines = [
        f"{plan.kind} {plan.preset}: {plan.weights:,} weights, {plan.trained:,} of them trained",
        f"a step: {batch} on every GPU, {train.accumulate} time(s); {train.steps} steps",
        "GiB of a GPU".ljust(18) + "".join(f"{name:>12}" for name in names),
    ]
    for name, sizes in rows.items():
        cells = [f"{size / _GIB:.2f}" for size in (*sizes, sum(sizes))]
        if plan.activations is None:
            cells[-2:] = ["?", f"{sum(sizes) / _GIB:.2f}+"]
        lines.append(name.ljust(18) + "".join(f"{cell:>12}" for cell in cells))
    if plan.activations is None:
        lines.append("activations are not planned for a kind that stands on a frozen network")
    if plan.shares is None:
        lines.append("train.shard is not for this kind: every GPU holds a copy (DDP)")
    else:
        state = "as this recipe does" if train.shard else "with train.shard=true"
        lines.append(f"FSDP: weights split over the GPUs, {state}; else copies (DDP)")
    return "\n".join(lines)


def _with_objective(kind: str, network: nn.Module, recipe: Recipe) -> TrainedObjective | None:
    """Network and objective where the objective needs nothing else."""
    from nearfar.encoders.tiny_objective import TinyEncoderObjective

    trained = TRAINED.get(kind)
    alone = None if trained is None else trained.alone
    if kind != "tiny_encoder" and alone is None:
        return None
    objective: Any = TinyEncoderObjective if alone is None else alone()
    dtype = "fp32" if recipe.train.dtype == "fp32" else "bf16"  # auto: as on a GPU
    options = checked_options(objective, recipe.train.objective)
    return TrainedObjective(network, objective(network, **options), dtype=dtype)


def _states(network: nn.Module, recipe: Recipe) -> int:
    """Two numbers a weight for AdamW, one for Muon."""
    groups = make_optimizer(network, recipe.train).param_groups
    return sum(
        (1 if group.get("orthogonal") else 2) * sum(p.numel() for p in group["params"])
        for group in groups
    )


def _shares(module: TrainedObjective, recipe: Recipe) -> Shares:
    """Of a network with blocks; its blocks end up in the dtype they are gathered in."""
    network: Any = module.network
    sizes = [sum(p.numel() for p in block.parameters()) for block in network.blocks()]
    outside = sum(p.numel() for p in network.parameters()) - sum(sizes)
    width = _FLOAT if module.dtype == "fp32" else _FLOAT // 2
    if module.dtype == "bf16":
        for part in (part for block in network.blocks() for part in block.modules()):
            for name, weight in list(part.named_parameters(recurse=False)):
                half = nn.Parameter(weight.detach().bfloat16(), requires_grad=weight.requires_grad)
                setattr(part, name, half)  # `Module.to` cannot exchange content-free tensors
    return Shares(
        exchange=max(sizes) * (2 * width + width + _FLOAT) + 2 * _FLOAT * outside,
        activations=_activations(module, recipe),
    )


def _activations(module: TrainedObjective, recipe: Recipe) -> int:
    """Bytes that a batch leaves for the backward pass, every storage once."""
    own = {_storage(t) for t in (*module.parameters(), *module.buffers())}
    kept: dict[int, int] = {}
    alive: list[Tensor] = []  # so that no address is given twice

    def pack(tensor: Tensor) -> Tensor:
        if _storage(tensor) not in own:
            kept[_storage(tensor)] = tensor.untyped_storage().nbytes()
            alive.append(tensor)
        return tensor

    count, (height, width) = recipe.train.batch_size, recipe.data.crop
    depth_BHW = torch.ones(count, height, width)
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        batch = DepthBatch(
            torch.zeros(count, 3, height, width),
            depth_BHW,
            valid_BHW=depth_BHW > 0,
            sky_BHW=depth_BHW < 0,
            fov_x_deg_B=torch.full((count,), 60.0),
        )
        module(batch, generator=torch.Generator().manual_seed(0))
    return sum(kept.values())


def _storage(tensor: Tensor) -> int:
    return int(tensor.untyped_storage()._cdata)
