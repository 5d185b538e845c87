"""AdamW or Muon over parameter groups, and the learning rate as a function of the step alone."""

from __future__ import annotations

import math
import re
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from nearfar.errors import ConfigError
from nearfar.settings import pick_dtype

from .config import TrainConfig
from .muon import MuonAdamW


def make_optimizer(network: nn.Module, config: TrainConfig) -> torch.optim.Optimizer:
    """The optimizer of a recipe; decay only on weights of two or more dimensions.

    Norm gains, biases and gates are left without decay: pulling them to 0 has no use. With
    `optimizer = "muon"`, weights of two or more dimensions are orthogonalized unless their name
    contains one of `adamw_names` (first and last layers, embeddings). Weights whose rate is a share
    of the others' (`rate_shares`) stand in groups of their own.
    """
    named = [(name, p) for name, p in network.named_parameters() if p.requires_grad]
    shares = rate_shares([name for name, _ in named], config)
    members: dict[tuple[int, float], list[nn.Parameter]] = defaultdict(list)
    for name, parameter in named:
        members[_kind(name, parameter, config), shares[name]].append(parameter)
    groups = []
    for (kind, share), parameters in sorted(members.items(), key=lambda item: _order(*item[0])):
        decay = 0.0 if kind == _VECTORS else config.weight_decay
        ratio = share
        if kind == _ORTHOGONAL:
            ratio *= config.muon_rate / config.learning_rate
        group: dict[str, Any] = {"params": parameters, "weight_decay": decay, "ratio": ratio}
        group["lr"] = config.learning_rate * ratio
        if config.optimizer == "muon":
            group["orthogonal"] = kind == _ORTHOGONAL
            if kind != _ORTHOGONAL:
                group["betas"] = config.betas
        groups.append(group)
    if config.optimizer == "muon":
        return MuonAdamW(groups, lr=config.learning_rate, dtype=_muon_dtype(named[0][1].device))
    is_fused = all(p.device.type in ("cpu", "cuda") for _, p in named)
    return torch.optim.AdamW(groups, lr=config.learning_rate, betas=config.betas, fused=is_fused)


def rate_shares(names: Sequence[str], config: TrainConfig) -> dict[str, float]:
    """Every weight's share of the learning rate, by its name (names in order of registration).

    `rates` gives shares to names that contain a text (several that fit are multiplied). In what
    `decayed` names, a network with numbered `blocks`, the last block and what follows it keep their
    share, and every block before has `layer_decay` of the next one's; what stands before the first
    block counts as one more. (BEiT, arXiv 2106.08254, for fine-tuning transformers.)
    """
    shares = dict.fromkeys(names, 1.0)
    for text, share in config.rates.items():
        found = [name for name in names if text in name]
        if not found:
            raise ConfigError(f"train.rates.{text}", "no trained weight's name contains this")
        for name in found:
            shares[name] *= share
    if config.layer_decay == 1.0:
        return shares
    inside = [name for name in names if config.decayed in name]
    numbers = [_block(name.partition(config.decayed)[2]) for name in inside]
    known = [number for number in numbers if number is not None]
    if not known:
        finding = f"no trained weight of numbered blocks below {config.decayed!r}"
        raise ConfigError("train.decayed", finding, "Is the encoder frozen, or named differently?")
    place, last = -1, max(known)
    for name, number in zip(inside, numbers):
        if number is not None:
            place = number
        elif place >= 0:
            place = last
        shares[name] *= config.layer_decay ** (last - place)
    return shares


def _muon_dtype(device: torch.device) -> torch.dtype:
    """What Muon iterates in, whatever the network computes in: bf16 where that is faster."""
    fast = pick_dtype("auto", device)
    return fast if fast is torch.bfloat16 else torch.float32


_MATRICES, _VECTORS, _ORTHOGONAL = range(3)  # kinds of weights, in the order of their groups


def _kind(name: str, parameter: nn.Parameter, config: TrainConfig) -> int:
    if parameter.ndim < 2:
        return _VECTORS
    is_plain = config.optimizer != "muon" or any(part in name for part in config.adamw_names)
    return _MATRICES if is_plain else _ORTHOGONAL


def _order(kind: int, share: float) -> tuple[int, float]:
    return kind, -share


def _block(rest: str) -> int | None:
    """The number after `blocks.` at the start of a name's rest."""
    found = re.match(r"\.?blocks\.(\d+)\.", rest)
    return int(found[1]) if found else None


def learning_rate(step: int, config: TrainConfig) -> float:
    """Learning rate of a step (from 0): linear warm-up, then constant or half a cosine.

    linear and poly (the recipes of DAR, docs/dar.md section 7) start from final_fraction of the
    rate, rise until the warm-up's end and fall back to it: linear by the last step, poly, with
    power 0.9 both ways, in as many steps as the rise took.
    """
    if config.schedule in ("linear", "poly"):
        low, high = config.final_fraction * config.learning_rate, config.learning_rate
        half, power = max(1, config.warmup), 0.9 if config.schedule == "poly" else 1.0
        if step + 1 < half:
            return low + (high - low) * ((step + 1) / half) ** power
        fall_steps = half if config.schedule == "poly" else max(1, config.steps - half)
        return max(low, high - (high - low) * ((step + 1 - half) / fall_steps) ** power)
    rise = min(1.0, (step + 1) / (config.warmup + 1))
    if config.schedule == "constant":
        return config.learning_rate * rise
    length = max(1, config.steps - config.warmup)
    done = min(1.0, max(0.0, (step - config.warmup) / length))
    fall = config.final_fraction + (1 - config.final_fraction) * (1 + math.cos(math.pi * done)) / 2
    return config.learning_rate * rise * fall


def set_learning_rate(optimizer: torch.optim.Optimizer, value: float) -> None:
    """Give every group the rate, times the ratio it keeps to it."""
    for group in optimizer.param_groups:
        group["lr"] = value * group.get("ratio", 1.0)
