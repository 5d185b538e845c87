"""Networks by name: config from a file's metadata, network on the meta device, tensors put in.

Nothing is initialized and nothing copied twice: the network is built without memory and takes the
file's tensors as its own. What a file says of itself is checked against its types first, and no
network is built that is larger than the file.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn
from torch.nn.modules.module import (
    register_module_buffer_registration_hook,
    register_module_module_registration_hook,
    register_module_parameter_registration_hook,
)

from nearfar.errors import ConfigError, WeightsError
from nearfar.family import NetworkKind
from nearfar.layers.without_memory import without_memory
from nearfar.typed import from_table

from .families import NETWORKS
from .prune_plan import PrunePlan, shrink
from .safe import some

CUSTOM = "custom"  # the preset of a config that has no name
LARGEST_SIZE = 1 << 20  # of any number in a config
_SLACK, _SPARE = 20, 5000  # parts of a network (modules too) for each tensor of its file


def kind_of(name: str, where: object) -> NetworkKind:
    """The kind of network of a name in a file; WeightsError if this version does not know it."""
    if name not in NETWORKS:
        raise WeightsError(
            where, f"unknown family {name!r}", f"This version knows {', '.join(NETWORKS)}"
        )
    return NETWORKS[name]


def config_from_metadata(metadata: Mapping[str, str], where: object) -> Any:
    """The config that one of our files states: its own, or that of its preset."""
    family = kind_of(metadata.get("family", ""), where)
    if "config" in metadata:
        return checked_config(family.config, metadata["config"], where)
    preset = metadata.get("preset", "")
    if preset not in family.presets:
        raise WeightsError(
            where, f"unknown preset {preset!r}", f"Known: {', '.join(family.presets)}"
        )
    return family.presets[preset]


def checked_config(kind: type, text: str, where: object) -> Any:
    """The config in a JSON text, every value of its type and of sane size; else WeightsError."""
    try:
        table = json.loads(text)
        if not isinstance(table, dict):
            raise ConfigError("config", "not a table")
        for number in _whole_numbers(table):
            if abs(number) > LARGEST_SIZE:
                raise ConfigError("config", f"{number} is beyond any size of a network")
        return from_table(kind, table, where="config")
    except Exception as error:  # a config's own checks count on sizes that make sense
        reason = str(error) or type(error).__name__
        raise WeightsError(where, f"its config does not fit this version ({reason})") from error


def preset_of(family: str, config: Any) -> str:
    """The name of a config, `custom` if it has none."""
    presets = NETWORKS[family].presets
    return next((name for name, preset in presets.items() if preset == config), CUSTOM)


def build(family: str, config: Any, plan: PrunePlan | None = None) -> nn.Module:
    """The network without memory (meta device), cut by the plan of a pruned one."""
    network = without_memory(NETWORKS[family].network, config)
    if plan is not None:
        shrink(family, network, plan, family)
    return network


def fitting(
    family: str,
    config: Any,
    tensors: Mapping[str, Tensor],
    where: object,
    *,
    plan: PrunePlan | None = None,
    remedy: str = "",
) -> nn.Module:
    """The network without memory, if its tensors are those of the file; WeightsError otherwise.

    It is given up as soon as it has far more parts than the file has tensors, whatever its config
    says of its size. plan: of a pruned one.
    """
    try:
        with _no_more_tensors_than(_SLACK * len(tensors) + _SPARE):
            network = build(family, config)
    except _TooLargeError as error:
        raise WeightsError(
            where, f"holds {len(tensors)} tensors, its config is of a network with far more"
        ) from error
    except Exception as error:  # sizes that pass one by one and contradict each other
        reason = str(error).split("\n")[0] or type(error).__name__
        raise WeightsError(where, f"no network can be built from its config ({reason})") from error
    if plan is not None:
        shrink(family, network, plan, where)
    require_fit(network, tensors, where, remedy=remedy)
    return network


class _TooLargeError(Exception):
    pass


@contextmanager
def _no_more_tensors_than(limit: int) -> Iterator[None]:
    """Stops the building of modules inside the block once they have more tensors or parts."""
    found = 0

    def count(*_: object) -> None:
        nonlocal found
        found += 1
        if found > limit:
            raise _TooLargeError

    hooks = [
        register_module_parameter_registration_hook(count),
        register_module_buffer_registration_hook(count),
        register_module_module_registration_hook(count),
    ]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def require_fit(
    network: nn.Module, tensors: Mapping[str, Tensor], where: object, *, remedy: str = ""
) -> None:
    """Pass if names and shapes are the network's; WeightsError names and counts the others."""
    expected = network.state_dict()
    missing = [name for name in expected if name not in tensors]
    extra = [name for name in tensors if name not in expected]
    other = [
        f"{name} {list(tensors[name].shape)} for {list(tensor.shape)}"
        for name, tensor in expected.items()
        if name in tensors and tensors[name].shape != tensor.shape
    ]
    found = [
        f"{len(names)} {what} ({some(names)})"
        for what, names in (("missing", missing), ("unexpected", extra), ("of other shape", other))
        if names
    ]
    if found:
        raise WeightsError(where, f"{len(expected)} tensors expected, {', '.join(found)}", remedy)


def fill(network: nn.Module, tensors: Mapping[str, Tensor]) -> nn.Module:
    """The network owning the tensors (which must fit), frozen and in eval mode."""
    network.load_state_dict(tensors, strict=True, assign=True)
    left = [n for n, t in (*network.named_parameters(), *network.named_buffers()) if t.is_meta]
    if left:
        raise ConfigError(type(network).__name__, f"buffers outside the state dict: {some(left)}")
    return network.eval().requires_grad_(False)


def _whole_numbers(value: Any) -> Iterator[int]:
    """All whole numbers in plain nested values."""
    if isinstance(value, int):
        yield value
    for item in (
        value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    ):
        yield from _whole_numbers(item)
