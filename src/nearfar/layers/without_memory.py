"""Networks without memory, to learn their tensors' names and shapes or to be given others'."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode


def without_memory(network: Callable[[Any], nn.Module], config: Any) -> nn.Module:
    """The network of a config on torch's meta device."""
    with torch.device("meta"), _Undrawn():
        return network(config)


class _Undrawn(TorchFunctionMode):
    """Leaves normal draws out: without memory they do nothing but import the compiler (seconds)."""

    def __torch_function__(
        self, func: Any, types: Any, args: Any = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        named = kwargs or {}
        if func in (nn.init.normal_, Tensor.normal_):  # within the first, the mode is switched off
            return args[0] if args else named["tensor"]
        return func(*args, **named)
