"""A model pruned in one shot: package by package, each on photos run through what is left so far.

OBS-Diff (arXiv 2510.06751): the layers, in network order, are split into packages; for each the
photos are run through the network, already pruned up to there, and its layers are pruned.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import torch
from torch import Tensor, nn

from nearfar.errors import ConfigError
from nearfar.layers.prunable import PrunableUnit, kept
from nearfar.weights.load import LoadedModel, LoadedNetwork
from nearfar.weights.prune_plan import PrunePlan, prunable_units

from .baselines import l1_prune_columns, magnitude_prune, wanda_prune
from .calibration import Answers, answers, layer_hessians, require_pictures
from .config import PruneConfig
from .report import LayerReport, PruneReport
from .surgeon import Columns, columns_to_remove, obs_prune, obs_prune_columns, require_pattern

COMPARED = 8  # photos on which the pruned model is compared with the whole one


@dataclass(frozen=True, kw_only=True, slots=True)
class PruneState:
    """How far a pruning is: packages done, what they did, and the plan that belongs to it."""

    done: int = 0
    plan: PrunePlan = field(default_factory=PrunePlan)
    layers: tuple[LayerReport, ...] = ()


class Whole(NamedTuple):
    """What is remembered of the model before: its answers to the first photos, its parameters."""

    answers: Answers
    parameters: int


def remember(model: LoadedModel, photos: Sequence[Tensor], config: PruneConfig) -> Whole:
    """What `prune_model` compares with in the end; refuses what it would refuse."""
    require_pictures(photos)
    require_prunable(model, config)
    return Whole(answers(model, photos[:COMPARED], config), _parameters(model))


def prune_model(
    model: LoadedModel,
    calibration: Sequence[Tensor],
    config: PruneConfig,
    *,
    whole: Whole | None = None,
    state: PruneState | None = None,
    on_photo: Callable[[], None] = lambda: None,
    on_package: Callable[[PruneState], None] = lambda state: None,
) -> tuple[PruneReport, PrunePlan]:
    """Prune the model's network in place; what was done, and the plan its file must hold.

    model: float32, from `load_predictor`. calibration: photos [3,H,W] in 0..1. whole, state: of an
    interrupted pruning (`remember` of the model before; what `on_package` was last told), with the
    network as it was then. on_photo: told after each photo of each package. Weights are rounded to
    the numbers of the model's file, so that writing them loses nothing.

    ConfigError: a family that cannot be pruned, a model that is already smaller than asked, a
    pattern that does not fit its layers. InputError: photos that show nothing.
    """
    started = time.perf_counter()
    source = source_of(model)
    if whole is None:
        whole = remember(model, calibration, config)
    if state is None:
        plan = source.plan or _first_plan(model)
        rounds = (*plan.rounds, config.line(len(calibration)))
        state = PruneState(plan=replace(plan, rounds=rounds))
    packages = split_packages(targets(model, config), config.packages)
    for units in packages[state.done :]:
        hessians = layer_hessians(model, calibration, units, config, on_photo=on_photo)
        removed, layers = dict(state.plan.removed), list(state.layers)
        for unit in units:
            # a Hessian is let go as soon as its layer is done
            layers.append(_prune_layer(unit, hessians.pop(unit.name), config, removed, source))
        state = PruneState(
            done=state.done + 1,
            plan=replace(state.plan, removed=removed),
            layers=tuple(layers),
        )
        on_package(state)
    report = _report(model, calibration, config, whole, state)
    return replace(report, seconds=time.perf_counter() - started), state.plan


def _first_plan(model: LoadedModel) -> PrunePlan:
    """The plan of a model that was never pruned: how it works, nothing removed."""
    entry = model.entry
    return PrunePlan(
        model=entry.name,
        area=entry.area,
        steps=entry.steps,
        start=entry.start,
        training_data=entry.training_data,
    )


def source_of(model: LoadedModel) -> LoadedNetwork:
    """The network behind a model; ConfigError if it was not loaded from a file of weights."""
    if model.source is None:
        raise ConfigError(model.entry.name, "not loaded from a file", "Use load_predictor")
    return model.source


def targets(model: LoadedModel, config: PruneConfig) -> list[PrunableUnit]:
    """The layers that this pruning works on, in network order."""
    units = prunable_units(model.entry.family, source_of(model).network, model.entry.name)
    return [unit for unit in units if config.mode != "structured" or unit.remove is not None]


def split_packages(units: Sequence[PrunableUnit], count: int) -> list[list[PrunableUnit]]:
    """Neighbors in `count` groups whose sizes differ by at most one, larger ones first."""
    count = min(count, len(units))
    size, more = divmod(len(units), count)
    ends = [(i + 1) * size + min(i + 1, more) for i in range(count)]
    return [list(units[a:b]) for a, b in zip([0, *ends], ends, strict=False)]


def require_prunable(model: LoadedModel, config: PruneConfig) -> None:
    """Pass if there is something to prune; ConfigError if the model is as small as asked."""
    source, units = source_of(model), targets(model, config)
    name = model.entry.name
    if model.used_encoder_sha256 and source.encoder_sha256 not in ("", model.used_encoder_sha256):
        raise ConfigError(
            name,
            "runs on another encoder than it was trained with",
            "Prune it on its own: layers are judged by what that one gives them",
        )
    if config.mode == "structured":
        gone = source.plan.removed if source.plan else {}
        if all(_left(unit, config, gone) <= 0 for unit in units):
            raise ConfigError(name, f"already smaller than asked, {config.sparsity:g} is gone")
        return
    n, m = config.nm if config.mode == "nm" else (0, 0)
    for unit in units:
        require_pattern(unit.linear.in_features, config.sparsity, n=n, m=m)
    if m and all(_has_pattern(unit.linear.weight, n, m) for unit in units):
        raise ConfigError(name, f"already has {n} zeros in every {m} inputs")
    if not m and zeros(units) >= config.sparsity:
        raise ConfigError(name, f"already smaller than asked, {zeros(units):.0%} are zeros")


def zeros(units: Sequence[PrunableUnit]) -> float:
    """The share of zeros in the weights of layers."""
    total = sum(unit.linear.weight.numel() for unit in units)
    return sum(int((unit.linear.weight == 0).sum()) for unit in units) / total


@torch.no_grad()
def _prune_layer(
    unit: PrunableUnit,
    hessian: Tensor,
    config: PruneConfig,
    removed: dict[str, tuple[int, ...]],
    source: LoadedNetwork,
) -> LayerReport:
    """Prune one layer in place and enter in `removed` which of its first inputs are gone."""
    before = unit.linear.weight.detach().clone()
    if config.mode != "structured":
        after = _pruned(before, hessian, config).to(source.dtype).to(before.dtype)
        unit.linear.weight.copy_(after)
        count = int((after == 0).sum())
        error = _error(before, after, hessian)
        return LayerReport(name=unit.name, kept=after.numel() - count, removed=count, error=error)
    chosen = _without_columns(before, hessian, config, unit, removed)
    after = chosen.weight.to(source.dtype).to(before.dtype)
    error, count = _error(before, after, hessian), len(chosen.removed)
    if count and unit.remove is not None:
        unit.linear.weight.copy_(after)
        gone = removed.get(unit.name, ())
        numbers = kept(before.shape[1] + len(gone), torch.tensor(gone, dtype=torch.long))
        removed[unit.name] = tuple(sorted([*gone, *numbers[chosen.removed.cpu()].tolist()]))
        unit.remove(chosen.removed)
    return LayerReport(name=unit.name, kept=before.shape[1] - count, removed=count, error=error)


def _pruned(weight: Tensor, hessian: Tensor, config: PruneConfig) -> Tensor:
    """The weight with zeros, by the config's method."""
    n, m = config.nm if config.mode == "nm" else (0, 0)
    if config.method == "obs":
        return obs_prune(weight, hessian, config.sparsity, n=n, m=m, damp=config.damp)
    prune = wanda_prune if config.method == "wanda" else magnitude_prune
    return prune(weight, hessian, config.sparsity, n=n, m=m)


def _without_columns(
    weight: Tensor,
    hessian: Tensor,
    config: PruneConfig,
    unit: PrunableUnit,
    removed: dict[str, tuple[int, ...]],
) -> Columns:
    """The weight without heads or neurons, by the config's method."""
    share = max(0, _left(unit, config, removed)) / weight.shape[1]
    if config.method == "l1":
        return l1_prune_columns(weight, hessian, share, group_size=unit.group_size)
    return obs_prune_columns(
        weight,
        hessian,
        share,
        group_size=unit.group_size,
        damp=config.damp,
        compensate=config.compensate,
    )


def _left(unit: PrunableUnit, config: PruneConfig, gone: dict[str, tuple[int, ...]]) -> int:
    """How many inputs are still to be removed from a layer for the share that is asked for."""
    before = len(gone.get(unit.name, ()))
    width = unit.linear.in_features + before
    return columns_to_remove(width, config.sparsity, unit.group_size) - before


def _has_pattern(weight: Tensor, n: int, m: int) -> bool:
    return bool(((weight.view(-1, m) == 0).sum(1) >= n).all())


def _error(before: Tensor, after: Tensor, hessian: Tensor) -> float:
    """Root mean square change of the output as a share of the output's root mean square."""
    change = after - before
    squared = ((change @ hessian) * change).sum().clamp_min(0)
    whole = ((before @ hessian) * before).sum()
    return float((squared / whole).sqrt()) if whole > 0 else 0.0


def _parameters(model: LoadedModel) -> int:
    network: nn.Module = source_of(model).network
    return sum(p.numel() for p in network.parameters())


def _report(
    model: LoadedModel,
    photos: Sequence[Tensor],
    config: PruneConfig,
    whole: Whole,
    state: PruneState,
) -> PruneReport:
    """The pruned model beside the whole one."""
    after = answers(model, photos[:COMPARED], config)
    pairs = list(zip(whole.answers.maps, after.maps, strict=True))
    return PruneReport(
        model=model.entry.name,
        config=config,
        photos=len(photos),
        compared=len(pairs),
        layers=state.layers,
        parameters_before=whole.parameters,
        parameters_after=_parameters(model),
        zeros=zeros(targets(model, config)),
        deviation=sum(float((a - b).abs().mean()) for a, b in pairs) / len(pairs),
        spread=sum(float(a.std()) for a, _ in pairs) / len(pairs),
        seconds_before=whole.answers.seconds,
        seconds_after=after.seconds,
        seconds=0.0,
    )
