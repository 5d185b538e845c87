"""Training of rivals in the claims: equal processor seconds, Muon, rates that follow the clock."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from nearfar.settings import has_fast_bf16
from nearfar.train.muon import MuonAdamW

RATE, MUON_RATE, WARM_UP = 1e-3, 0.02, 20  # AdamW, matrices, steps
DTYPES = ("fp32", "bf16")


def faster_dtype() -> str:
    """bf16 where this processor multiplies it faster than fp32, else fp32."""
    return "bf16" if has_fast_bf16() else "fp32"


def fit(
    network: nn.Module,
    loss: Callable[[], Tensor],
    *,
    seconds: float,
    adamw: Sequence[str] = (),
    share: float = 1.0,
    fresh: Sequence[str] = (),
    dtype: str = "",
) -> dict[str, float]:
    """Train until the processor time is spent; the rate follows the clock along half a cosine.

    adamw: parts of names of what Muon must not touch. share: of the rates, for what was trained
    before; fresh: parts of names of what was not. dtype: one of DTYPES, empty = the faster one.
    """
    is_half = (dtype or faster_dtype()) == "bf16"
    optimizer = make_optimizer(network, adamw=adamw, share=share, fresh=fresh)
    first_rates = [group["lr"] for group in optimizer.param_groups]
    network.train()
    start, steps, spent, mean_loss = time.process_time(), 0, 0.0, 0.0
    while steps == 0 or spent < seconds:
        fall = 0.5 * (1 + torch.cos(torch.tensor(torch.pi * min(1.0, spent / seconds))).item())
        for group, rate in zip(optimizer.param_groups, first_rates, strict=True):
            group["lr"] = rate * min(1.0, (steps + 1) / WARM_UP) * max(fall, 0.01)
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=is_half):
            value = loss()
        optimizer.zero_grad(set_to_none=True)
        value.backward()
        nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        steps += 1
        mean_loss += (value.item() - mean_loss) * max(0.05, 1 / steps)
        spent = time.process_time() - start
    network.eval()
    parameters = sum(p.numel() for p in network.parameters() if p.requires_grad)
    costs = {"train_s": spent, "train_steps": steps, "step_s": spent / steps, "loss": mean_loss}
    return {**costs, "parameters": parameters}


def make_optimizer(
    network: nn.Module, *, adamw: Sequence[str], share: float = 1.0, fresh: Sequence[str] = ()
) -> MuonAdamW:
    """Muon for matrices, AdamW for vectors and what `adamw` names; frozen weights stay.

    share: of the rates, but for what `fresh` names.
    """
    members: dict[tuple[bool, float], list[nn.Parameter]] = {}
    for name, parameter in network.named_parameters():
        if not parameter.requires_grad:
            continue
        is_matrix = parameter.ndim >= 2 and not any(part in name for part in adamw)
        part = 1.0 if any(text in name for text in fresh) else share
        members.setdefault((is_matrix, part), []).append(parameter)
    groups = [
        {"params": found, "orthogonal": is_matrix, "lr": part * (MUON_RATE if is_matrix else RATE)}
        for (is_matrix, part), found in members.items()
    ]
    iterated = torch.bfloat16 if has_fast_bf16() else torch.float32
    return MuonAdamW(groups, lr=RATE, dtype=iterated)
