"""AdamW over two groups, and the learning rate as a function of the step alone."""

from __future__ import annotations

import math

import torch
from torch import nn

from .config import TrainConfig


def make_optimizer(network: nn.Module, config: TrainConfig) -> torch.optim.AdamW:
    """AdamW with decay on weights of two or more dimensions only; fused kernels where they exist.

    Norm gains, biases and gates are left without decay: pulling them to 0 has no use.
    """
    trained = [p for p in network.parameters() if p.requires_grad]
    groups = [
        {"params": [p for p in trained if p.ndim >= 2], "weight_decay": config.weight_decay},
        {"params": [p for p in trained if p.ndim < 2], "weight_decay": 0.0},
    ]
    is_fused = all(p.device.type in ("cpu", "cuda") for p in trained)
    return torch.optim.AdamW(
        [group for group in groups if group["params"]],
        lr=config.learning_rate,
        betas=config.betas,
        fused=is_fused,
    )


def learning_rate(step: int, config: TrainConfig) -> float:
    """Learning rate of a step (from 0): linear warm-up, then constant or half a cosine."""
    rise = min(1.0, (step + 1) / (config.warmup + 1))
    if config.schedule == "constant":
        return config.learning_rate * rise
    length = max(1, config.steps - config.warmup)
    done = min(1.0, max(0.0, (step - config.warmup) / length))
    fall = config.final_fraction + (1 - config.final_fraction) * (1 + math.cos(math.pi * done)) / 2
    return config.learning_rate * rise * fall


def set_learning_rate(optimizer: torch.optim.Optimizer, value: float) -> None:
    """Give every group the rate."""
    for group in optimizer.param_groups:
        group["lr"] = value
