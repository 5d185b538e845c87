"""Networks by name: config from a file's metadata, network on the meta device, tensors put in.

Nothing is initialized and nothing copied twice: the network is built without memory and takes the
file's tensors as its own.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any, get_args, get_type_hints

from torch import Tensor, nn

from nearfar.errors import ConfigError, WeightsError
from nearfar.family import NetworkKind
from nearfar.layers.without_memory import without_memory

from .families import NETWORKS
from .safe import some

CUSTOM = "custom"  # the preset of a config that has no name


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
        try:
            return _decode(family.config, json.loads(metadata["config"]))
        except (ValueError, TypeError, KeyError) as error:  # ConfigError is a ValueError
            raise WeightsError(where, f"its config does not fit this version ({error})") from error
    preset = metadata.get("preset", "")
    if preset not in family.presets:
        raise WeightsError(
            where, f"unknown preset {preset!r}", f"Known: {', '.join(family.presets)}"
        )
    return family.presets[preset]


def preset_of(family: str, config: Any) -> str:
    """The name of a config, `custom` if it has none."""
    presets = NETWORKS[family].presets
    return next((name for name, preset in presets.items() if preset == config), CUSTOM)


def build(family: str, config: Any) -> nn.Module:
    """The network without memory (meta device)."""
    return without_memory(NETWORKS[family].network, config)


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


def _decode(kind: Any, value: Any) -> Any:
    """A config dataclass from plain JSON values: lists are tuples, dicts are configs."""
    if isinstance(value, list):
        return tuple(_decode(None, item) for item in value)
    if isinstance(value, dict):
        choices = [kind, *get_args(kind)]  # Config | None has the Config among its arguments
        config = next(c for c in choices if isinstance(c, type) and is_dataclass(c))
        hints = get_type_hints(config)
        known = {f.name for f in fields(config)}
        unknown = sorted(set(value) - known)
        if unknown:
            raise ConfigError(config.__name__, f"unknown entries {unknown}")
        return config(**{name: _decode(hints[name], item) for name, item in value.items()})
    return value
