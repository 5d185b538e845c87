"""Muon with AdamW beside it: matrices get an orthogonalized momentum, everything else AdamW.

Muon (K. Jordan and others, 2024): M <- m M + (1 - m) G, then W <- W - rate * sqrt(max(1, r / c)) *
O(M') with M' = (1 - m) G + m M (Nesterov) and O(X) near U V' of X = U S V', by five steps of
X <- a X + b (X X') X + c (X X')^2 X from X / |X|. A convolution is the matrix [out, in * kh * kw].
Against AdamW at equal time: dev/log.md.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor

from .shards import joined, own, part_of, whole

_QUINTIC = (3.4445, -4.7750, 2.0315)  # steep at 0: singular values end within about 0.7..1.2
_ITERATIONS = 5


class MuonAdamW(torch.optim.Optimizer):
    """One optimizer over groups of two kinds, told apart by `orthogonal` of the group.

    Group keys: lr, weight_decay (decoupled), orthogonal; momentum for orthogonal groups, betas for
    the others. Parameters of orthogonal groups need two or more dimensions. dtype: what matrices
    are orthogonalized in; bf16 does where it is faster.
    """

    def __init__(
        self,
        groups: Iterable[dict[str, Any]],
        *,
        lr: float,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        defaults = {
            "lr": lr,
            "weight_decay": 0.0,
            "orthogonal": False,
            "momentum": 0.95,
            "betas": (0.9, 0.98),
            "eps": 1e-8,
        }
        super().__init__(groups, defaults)
        self._dtype = dtype  # not in the state: another machine may go on in another

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:  # type: ignore[override]
        """One update of every parameter that has a gradient."""
        loss = closure() if closure is not None else None
        for group in self.param_groups:
            parameters = [p for p in group["params"] if p.grad is not None]
            if group["orthogonal"]:
                self._orthogonal_step(parameters, group)
            else:
                self._adamw_step(parameters, group)
        return loss

    def _orthogonal_step(self, parameters: list[Tensor], group: dict[str, Any]) -> None:
        """Matrices of one shape are orthogonalized together; split ones whole, by every process."""
        alike: dict[tuple[int, int], list[Tensor]] = defaultdict(list)
        directions: dict[Tensor, Tensor] = {}
        for parameter in parameters:
            state, momentum = self.state[parameter], group["momentum"]
            if "momentum" not in state:
                state["momentum"] = torch.zeros_like(parameter)
            gradient: Tensor = own(parameter.grad)  # type: ignore[arg-type]  # chosen by `step`
            average = own(state["momentum"]).lerp_(gradient, 1 - momentum)
            direction = joined(gradient.lerp(average, momentum), parameter)
            matrix = whole(direction).reshape(len(parameter), -1)
            directions[parameter] = matrix
            alike[matrix.shape[0], matrix.shape[1]].append(parameter)
        for (rows, columns), members in alike.items():
            together = torch.stack([directions[p] for p in members])
            updates = orthogonalized(together, dtype=self._dtype)
            gain = max(1.0, rows / columns) ** 0.5
            for parameter, update in zip(members, updates):
                step = part_of(update.reshape(parameter.shape), parameter)
                own(parameter).mul_(1 - group["lr"] * group["weight_decay"])
                own(parameter).add_(step, alpha=-group["lr"] * gain)

    def _adamw_step(self, parameters: list[Tensor], group: dict[str, Any]) -> None:
        """AdamW (arXiv 1711.05101), bias-corrected."""
        slow, fast = group["betas"]
        for parameter in parameters:
            state = self.state[parameter]
            if not state:
                state["step"] = torch.zeros(())
                state["mean"] = torch.zeros_like(parameter)
                state["square"] = torch.zeros_like(parameter)
            state["step"] += 1
            count = float(state["step"])
            gradient, weight = own(parameter.grad), own(parameter)  # type: ignore[arg-type]
            mean, square = own(state["mean"]), own(state["square"])
            mean.lerp_(gradient, 1 - slow)
            square.mul_(fast).addcmul_(gradient, gradient, value=1 - fast)
            spread = (square / (1 - fast**count)).sqrt_().add_(group["eps"])
            weight.mul_(1 - group["lr"] * group["weight_decay"])
            weight.addcdiv_(mean, spread, value=-group["lr"] / (1 - slow**count))


def orthogonalized(matrices: Tensor, *, dtype: torch.dtype) -> Tensor:
    """Near-orthogonal matrices [n,r,c] float32 with the singular vectors of the given ones.

    dtype: of the iteration; it needs no more digits than bfloat16 has.
    """
    x = matrices.to(dtype)
    is_tall = x.shape[-2] > x.shape[-1]
    x = x.mT if is_tall else x
    x = x / (x.float().norm(dim=(-2, -1), keepdim=True) + 1e-7).to(x.dtype)
    a, b, c = _QUINTIC
    for _ in range(_ITERATIONS):
        gram = x @ x.mT
        x = a * x + (b * gram + c * gram @ gram) @ x
    return (x.mT if is_tall else x).float()
