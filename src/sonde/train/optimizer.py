"""AdamW or Muon over parameter groups, and the learning rate as a function of the step alone."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import nn

from .config import TrainConfig
from .muon import MuonAdamW


def make_optimizer(network: nn.Module, config: TrainConfig) -> torch.optim.Optimizer:
    """The optimizer of a recipe; decay only on weights of two or more dimensions.

    Norm gains, biases and gates are left without decay: pulling them to 0 has no use. With
    `optimizer = "muon"`, weights of two or more dimensions are orthogonalised unless their name
    contains one of `adamw_names` (first and last layers, embeddings).
    """
    named = [(name, p) for name, p in network.named_parameters() if p.requires_grad]
    orthogonal = [p for name, p in named if p.ndim >= 2 and _is_orthogonal(name, config)]
    taken = {id(p) for p in orthogonal}
    others = [p for _, p in named if id(p) not in taken]
    groups: list[dict[str, Any]] = [
        {"params": [p for p in others if p.ndim >= 2], "weight_decay": config.weight_decay},
        {"params": [p for p in others if p.ndim < 2], "weight_decay": 0.0},
    ]
    if config.optimizer == "muon":
        for group in groups:
            group |= {"betas": config.betas, "orthogonal": False, "ratio": 1.0}
        ratio = config.muon_rate / config.learning_rate
        groups.append(
            {
                "params": orthogonal,
                "weight_decay": config.weight_decay,
                "orthogonal": True,
                "ratio": ratio,
                "lr": config.muon_rate,
            }
        )
        return MuonAdamW([g for g in groups if g["params"]], lr=config.learning_rate)
    is_fused = all(p.device.type in ("cpu", "cuda") for p in others)
    return torch.optim.AdamW(
        [group for group in groups if group["params"]],
        lr=config.learning_rate,
        betas=config.betas,
        fused=is_fused,
    )


def _is_orthogonal(name: str, config: TrainConfig) -> bool:
    return config.optimizer == "muon" and not any(part in name for part in config.adamw_names)


def learning_rate(step: int, config: TrainConfig) -> float:
    """Learning rate of a step (from 0): linear warm-up, then constant or half a cosine.

    linear and poly (the recipes of DAR, spec dar.md section 7) start from final_fraction of the
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
