"""Exponential moving average of weights and of floating buffers (batch-norm statistics)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from .shards import joined, own, part_of


class MovingAverage:
    """average <- average + (1 - d) * (weights - average), d = min(decay, (1 + s) / (10 + s)).

    The start of the sum forgets the initial weights quickly. With decay 0 the average is the
    network itself and costs nothing. Of split weights (shards.py) every process averages its rows.
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        self.decay = decay
        self._live = _tensors(network)
        self._average = {n: own(t).detach().clone() for n, t in self._live.items() if decay}
        moving = [name for name in self._average if self._live[name].is_floating_point()]
        self._averages = [self._average[name] for name in moving]
        self._moving = moving
        self._counters = [name for name in self._average if name not in moving]

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Take the weights after optimizer step number `step` (from 0) into the average."""
        if not self.decay:
            return
        decay = min(self.decay, (1 + step) / (10 + step))
        lives = [own(self._live[name]) for name in self._moving]
        torch._foreach_lerp_(self._averages, lives, 1 - decay)
        for name in self._counters:
            self._average[name].copy_(self._live[name])

    def state_dict(self) -> dict[str, Tensor]:
        """The average by the network's own names (the network's tensors if decay is 0)."""
        if not self.decay:
            return {name: t.detach() for name, t in self._live.items()}
        return {name: joined(t, self._live[name]) for name, t in self._average.items()}

    @torch.no_grad()
    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Continue from a saved average."""
        for name, tensor in self._average.items():
            tensor.copy_(part_of(state[name], self._live[name]))

    @torch.no_grad()
    def reset(self) -> None:
        """Start again from the weights as they are now."""
        for name, tensor in self._average.items():
            tensor.copy_(own(self._live[name]))

    @torch.no_grad()
    def heal_buffers(self, network: nn.Module) -> None:
        """Give batch-norm statistics that a bad batch made NaN or infinite their average back."""
        for name, buffer in network.named_buffers():
            if name in self._average and not torch.isfinite(buffer).all():
                buffer.copy_(self._average[name])

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Within the block the network holds the average; afterwards its own weights again."""
        if not self.decay:
            yield
            return
        kept = {name: own(t).detach().clone() for name, t in self._live.items()}
        self._put(self._average)
        try:
            yield
        finally:
            self._put(kept)

    @torch.no_grad()
    def _put(self, values: dict[str, Tensor]) -> None:
        for name, tensor in self._live.items():
            own(tensor).copy_(values[name])


def _tensors(network: nn.Module) -> dict[str, Tensor]:
    """Parameters and saved buffers by name, the living tensors themselves."""
    return {name: t for name, t in network.state_dict(keep_vars=True).items()}
