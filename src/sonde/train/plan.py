"""What a run would need: sizes and memory of every GPU, found without weights, data or memory.

The network is built and run once over tensors that have shapes but no content (as on torch's meta
device), so two billion parameters are planned in seconds on a laptop. Nothing is read or written.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode

from sonde.errors import ConfigError

from .config import Recipe
from .optimizer import make_optimizer
from .targets import TARGETS, TrainedObjective

_FAMILIES = {"depth_var": "depthart"}  # of kinds that are not named like their network
_GIB = 2**30
_FLOAT = 4  # bytes: weights, gradients, averages and optimizer states are float32


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """Counts and bytes of one process.

    trained: weights with a gradient. states: numbers the optimizer keeps. largest: weights of the
    largest module that FSDP would gather at once. activations: bytes kept for the backward pass of
    one batch, with the casts of autocast; None for kinds that stand on another network. Not in it:
    what a single operation needs for itself, and the allocator's gaps.
    """

    kind: str
    preset: str
    weights: int
    trained: int
    states: int
    largest: int
    activations: int | None


def plan_run(recipe: Recipe) -> Plan:
    """The plan of a recipe; ConfigError where its kind or preset is unknown."""
    from sonde.weights.networks import FAMILIES

    kind, preset = recipe.model.kind, recipe.model.preset
    if kind not in TARGETS:
        raise ConfigError("model.kind", f"unknown kind {kind!r}", f"Use one of {list(TARGETS)}")
    if _FAMILIES.get(kind, kind) not in FAMILIES:
        raise ConfigError("model.kind", f"no plan for {kind!r}")
    family = FAMILIES[_FAMILIES.get(kind, kind)]
    if preset not in family.presets:
        raise ConfigError("model.preset", f"unknown {preset!r}", f"Use {list(family.presets)}")
    with FakeTensorMode(), torch.random.fork_rng(devices=[]):
        network = family.network(family.presets[preset]).train()
        module = _with_objective(kind, network, recipe)
        weights = sum(p.numel() for p in network.parameters())
        trained = sum(p.numel() for p in network.parameters() if p.requires_grad)
        return Plan(
            kind=kind,
            preset=preset,
            weights=weights,
            trained=trained,
            states=_states(module or network, recipe),
            largest=_largest_block(network),
            activations=None if module is None else _activations(module, recipe),
        )


def plan_text(plan: Plan, recipe: Recipe, *, gpus: int) -> str:
    """Lines for people: gibibytes of a GPU, alone, with copies (DDP), with shares (FSDP)."""
    kept = {
        "weights": _FLOAT * plan.weights,
        "gradients": _FLOAT * plan.trained,
        "optimizer": _FLOAT * plan.states,
        "average": _FLOAT * plan.weights,
    }
    train, (height, width) = recipe.train, recipe.data.crop
    batch = f"{train.batch_size} photos of {height}x{width}"
    everywhere = plan.activations or 0
    rows = {
        "1 GPU": [*kept.values(), 0, everywhere],
        f"{gpus} GPUs, DDP": [*kept.values(), kept["gradients"], everywhere],
        f"{gpus} GPUs, FSDP": [
            *(-(-size // gpus) for size in kept.values()),
            2 * _FLOAT * plan.largest,
            everywhere,
        ],
    }
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
    lines.append("FSDP is planned only: sonde train runs on copies (DDP) so far")
    return "\n".join(lines)


def _with_objective(kind: str, network: nn.Module, recipe: Recipe) -> TrainedObjective | None:
    """Network and objective where the objective needs nothing else."""
    from sonde.encoders.tiny_objective import TinyEncoderObjective
    from sonde.models.dar.objective import DARObjective

    objectives: dict[str, Any] = {"dar": DARObjective, "tiny_encoder": TinyEncoderObjective}
    if kind not in objectives:
        return None
    objective = objectives[kind](network, **recipe.train.objective)
    dtype = "fp32" if recipe.train.dtype == "fp32" else "bf16"  # auto: as on a GPU
    return TrainedObjective(network, objective, dtype=dtype)


def _states(network: nn.Module, recipe: Recipe) -> int:
    """Two numbers a weight for AdamW, one for Muon."""
    groups = make_optimizer(network, recipe.train).param_groups
    return sum(
        (1 if group.get("orthogonal") else 2) * sum(p.numel() for p in group["params"])
        for group in groups
    )


def _largest_block(network: nn.Module) -> int:
    """Weights of the largest module within a list of modules; of all without such lists."""
    lists = [module for module in network.modules() if isinstance(module, nn.ModuleList)]
    sizes = [sum(p.numel() for p in block.parameters()) for parts in lists for block in parts]
    return max(sizes, default=sum(p.numel() for p in network.parameters()))


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
        module(
            torch.zeros(count, 3, height, width),
            depth_BHW,
            valid_BHW=depth_BHW > 0,
            sky_BHW=depth_BHW < 0,
            fov_x_deg_B=torch.full((count,), 60.0),
            generator=torch.Generator().manual_seed(0),
        )
    return sum(kept.values())


def _storage(tensor: Tensor) -> int:
    return int(tensor.untyped_storage()._cdata)
