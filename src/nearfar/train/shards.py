"""Weights split over processes (FSDP2): every process keeps, updates and averages its own rows.

A split weight is a DTensor cut along its first dimension. Its blocks are gathered one at a time
for forward and backward; what stands outside of them is gathered for the whole step. Everything
here is the plain operation where nothing is split, so the loop has one way for both. Files hold
whole tensors (`collected`), the same as without splitting.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module
from typing import Any

import torch
from torch import Tensor, nn

Blocks = Mapping[nn.Module, tuple[str, ...]]  # block -> methods it is entered by besides forward


def split(
    module: nn.Module, blocks: Blocks, *, dtype: str, device: torch.device, processes: int
) -> None:
    """Split the module's weights over all processes, in place.

    dtype: bf16 gathers the blocks' weights as bf16; kept weights and gradients stay fp32.
    """
    from torch.distributed.device_mesh import init_device_mesh

    fully_shard, policy, register_method = _fsdp2()
    # keys and values leave a block as views; nothing writes into them where gradients are asked for
    warnings.filterwarnings("ignore", message="FSDP2-wrapped module .* returned a view tensor")
    mesh = init_device_mesh(device.type, (processes,))
    half = policy(
        param_dtype=torch.bfloat16 if dtype == "bf16" else None,
        reduce_dtype=torch.float32,
        cast_forward_inputs=False,  # autocast says what is computed in bf16
    )
    for block, methods in blocks.items():
        fully_shard(block, mesh=mesh, mp_policy=half)
        for method in methods:
            register_method(block, method)
    fully_shard(module, mesh=mesh, mp_policy=policy(cast_forward_inputs=False))


@contextmanager
def gathered(module: Any, *, is_split: bool) -> Iterator[None]:
    """Within the block, the weights outside of blocks are whole, for calls past the module."""
    if not is_split:
        yield
        return
    module.unshard()
    try:
        yield
    finally:
        module.reshard()


def share_buffers(network: nn.Module) -> None:
    """Give all processes the first one's batch-norm statistics, as DDP does."""
    for buffer in network.buffers():
        if buffer.is_floating_point():
            torch.distributed.broadcast(buffer, src=0)


def own(tensor: Tensor) -> Tensor:
    """This process's rows, in the same memory; a plain tensor itself."""
    return tensor.detach().to_local() if _is_split(tensor) else tensor  # type: ignore[attr-defined]


def whole(tensor: Tensor) -> Tensor:
    """The rows (or partial sums) of all processes together; all must call it."""
    return tensor.full_tensor() if _is_split(tensor) else tensor  # type: ignore[attr-defined]


def joined(part: Tensor, like: Tensor) -> Tensor:
    """Rows of this process as a tensor split like another one."""
    if not _is_split(like):
        return part
    from torch.distributed.tensor import DTensor

    split_like: Any = like
    return DTensor.from_local(
        part,
        split_like.device_mesh,
        split_like.placements,
        run_check=False,
        shape=like.shape,
        stride=like.stride(),
    )


def part_of(tensor: Tensor, like: Tensor) -> Tensor:
    """The rows of a whole tensor that this process keeps of `like`."""
    if not _is_split(like):
        return tensor
    mesh: Any = like.device_mesh  # type: ignore[attr-defined]
    parts, rank = tensor.chunk(mesh.size(), dim=0), mesh.get_local_rank()
    return parts[rank] if rank < len(parts) else tensor[:0]


def collected(tree: Any, *, is_kept: bool) -> Any:
    """The tree with split tensors whole and on the CPU, where kept; all processes must call it."""
    if isinstance(tree, dict):
        return {key: collected(value, is_kept=is_kept) for key, value in tree.items()}
    if isinstance(tree, Tensor) and _is_split(tree):
        full = whole(tree)
        return full.detach().cpu() if is_kept else full.new_empty(0)
    return tree


@torch.no_grad()
def put_network(network: nn.Module, state: Mapping[str, Tensor], *, strict: bool = True) -> None:
    """`load_state_dict` of whole tensors; a split network takes its rows of them."""
    live = network.state_dict(keep_vars=True)
    is_plain = not any(_is_split(tensor) for tensor in live.values())
    if is_plain or (strict and set(live) != set(state)):
        network.load_state_dict(state, strict=strict)  # names the faults
        return
    for name, tensor in live.items():
        if name in state:
            own(tensor).copy_(part_of(state[name], tensor))


def put_optimizer(optimizer: Any, state: dict[str, Any]) -> None:
    """`load_state_dict` of whole states; split weights take their rows of them."""
    weights = [p for group in optimizer.param_groups for p in group["params"]]
    numbers = [n for group in state["param_groups"] for n in group["params"]]
    by_number = dict(zip(numbers, weights))
    rows = {
        number: {
            key: _as_rows(value, by_number[number]) if isinstance(value, Tensor) else value
            for key, value in states.items()
        }
        for number, states in state["state"].items()
    }
    optimizer.load_state_dict({**state, "state": rows})


def _as_rows(value: Tensor, weight: Tensor) -> Tensor:
    if value.shape != weight.shape or not _is_split(weight):
        return value  # a count of steps
    return joined(part_of(value, weight).to(weight.device).clone(), weight)


def _is_split(tensor: Tensor) -> bool:
    if type(tensor) in (Tensor, nn.Parameter):
        return False
    from torch.distributed.tensor import DTensor

    return isinstance(tensor, DTensor)


def _fsdp2() -> tuple[Any, Any, Any]:
    """fully_shard, its policy and its registration of methods, wherever this torch has them."""
    try:
        from torch.distributed import fsdp

        return fsdp.fully_shard, fsdp.MixedPrecisionPolicy, fsdp.register_fsdp_forward_method
    except AttributeError:  # torch 2.5
        early = import_module("torch.distributed._composable.fsdp")
        return early.fully_shard, early.MixedPrecisionPolicy, early.register_fsdp_forward_method
