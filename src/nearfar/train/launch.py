"""What the launcher gave this process: its device, its rank, and how gradients are shared.

The only file that imports accelerate. One CPU, one GPU, or many processes started by torchrun or
`accelerate launch`: with copies of the network (DDP), or with its weights split (shards.py).
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor, nn

from nearfar.errors import ConfigError
from nearfar.extras import load_extra
from nearfar.settings import pick_dtype

from .config import Recipe
from .optimizer import make_optimizer
from .shards import Blocks, split


class Accelerator(Protocol):
    """The part of accelerate.Accelerator the loop uses."""

    device: torch.device
    is_main_process: bool
    process_index: int
    num_processes: int
    distributed_type: Any

    def prepare(self, *args: Any) -> Any: ...
    def backward(self, loss: Tensor) -> None: ...
    def no_sync(self, model: Any) -> Any: ...
    def clip_grad_norm_(self, parameters: Any, max_norm: float) -> Tensor: ...
    def reduce(self, tensor: Tensor, reduction: str = "sum") -> Tensor: ...
    def wait_for_everyone(self) -> None: ...


def make_accelerator() -> Accelerator:
    """Accelerate's view of the launcher: devices and ranks."""
    accelerate = load_extra("accelerate", extra="train")
    accelerator: Accelerator = accelerate.Accelerator(mixed_precision="no")  # targets.autocast
    kind = str(accelerator.distributed_type).rpartition(".")[2]
    if kind in ("FSDP", "DEEPSPEED", "MEGATRON_LM"):
        raise ConfigError(
            "accelerate",
            f"launched with {kind}, which splits weights its own way",
            "Launch plain processes (torchrun, or accelerate with DDP); train.shard=true splits",
        )
    return accelerator


def settled(recipe: Recipe, device: torch.device) -> Recipe:
    """The recipe with `train.dtype = "auto"` made bf16 or fp32: what fits the device.

    Checkpoints and cards then say which it was. fp16 is never taken: its gradients vanish.
    """
    if recipe.train.dtype != "auto":
        return recipe
    name = "bf16" if pick_dtype("auto", device) is torch.bfloat16 else "fp32"
    return replace(recipe, train=replace(recipe.train, dtype=name))


class Shared(NamedTuple):
    """The module as every process runs it, its optimizer, and whether its weights are split."""

    module: Any
    optimizer: Any
    is_split: bool


def share_work(
    accelerator: Accelerator, module: nn.Module, blocks: Blocks, recipe: Recipe
) -> Shared:
    """Copies on every process (DDP), or weights split over them (`train.shard`).

    One process has nothing to split. ConfigError for kinds without blocks to gather.
    """
    if recipe.train.shard and not blocks:
        finding = f"a {recipe.model.kind} is not made to be split"
        raise ConfigError("train.shard", finding, "Only dar is: leave it out")
    processes = accelerator.num_processes
    if not recipe.train.shard or processes == 1:
        module, optimizer = accelerator.prepare(module, make_optimizer(module, recipe.train))
        return Shared(module, optimizer, is_split=False)
    dtype = recipe.train.dtype
    split(module, blocks, dtype=dtype, device=accelerator.device, processes=processes)
    return Shared(module, make_optimizer(module, recipe.train), is_split=True)
