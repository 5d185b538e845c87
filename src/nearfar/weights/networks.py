"""Families by name: config from a file's metadata, network on the meta device, tensors put in.

Nothing is initialized and nothing copied twice: the network is built without memory and takes the
file's tensors as its own.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields, is_dataclass
from typing import Any, get_args, get_type_hints

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from nearfar.encoders import (
    depth_anything_v2,
    dinov2,
    moge2,
    moge2_config,
    photo,
    pi3,
    tiny,
    tiny_video,
)
from nearfar.errors import ConfigError, WeightsError
from nearfar.models.dar.config import DARConfig
from nearfar.models.dar.network import DARNetwork
from nearfar.models.dar.presets import PRESETS as DAR_PRESETS
from nearfar.models.depthart.config import DepthARTConfig
from nearfar.models.depthart.network import DepthARTNetwork
from nearfar.models.depthart.presets import PRESETS as DEPTHART_PRESETS
from nearfar.models.depthart.transformer import VARTransformer
from nearfar.models.ppd.config import PPDConfig
from nearfar.models.ppd.network import PPDNetwork
from nearfar.models.ppd.presets import PRESETS as PPD_PRESETS
from nearfar.models.ppd.presets import VIDEO_PRESETS
from nearfar.models.ppd.video_config import PPDVideoConfig
from nearfar.models.ppd.video_network import PPDVideoNetwork
from nearfar.models.var_depth.config import VarDepthConfig
from nearfar.models.var_depth.network import VarDepthNetwork
from nearfar.models.var_depth.presets import COMPAT
from nearfar.models.var_depth.presets import PRESETS as VAR_DEPTH_PRESETS
from nearfar.models.var_depth.transformer import SwittiTransformer
from nearfar.tokenizers.config import VQConfig
from nearfar.tokenizers.presets import PRESETS as TOKENIZER_PRESETS
from nearfar.tokenizers.vqvae import VQVAE

from .safe import some

CUSTOM = "custom"  # the preset of a config that has no name


@dataclass(frozen=True, kw_only=True, slots=True)
class Family:
    """How one kind of network is configured and built."""

    config: type
    network: type[nn.Module]
    presets: Mapping[str, Any]


class VARAlone(nn.Module):
    """The transformer of VAR as released, without a tokenizer; names are those of DepthART."""

    def __init__(self, config: DepthARTConfig) -> None:
        super().__init__()
        self.config = config
        self.transformer = VARTransformer(config)


class SwittiAlone(nn.Module):
    """The transformer of Switti as released, without a tokenizer; names are those of VAR-Depth."""

    def __init__(self, config: VarDepthConfig) -> None:
        super().__init__()
        self.config = config
        self.transformer = SwittiTransformer(config)


FAMILIES: Mapping[str, Family] = {
    "ppd": Family(config=PPDConfig, network=PPDNetwork, presets=PPD_PRESETS),
    "ppd_video": Family(config=PPDVideoConfig, network=PPDVideoNetwork, presets=VIDEO_PRESETS),
    "dar": Family(config=DARConfig, network=DARNetwork, presets=DAR_PRESETS),
    "depthart": Family(config=DepthARTConfig, network=DepthARTNetwork, presets=DEPTHART_PRESETS),
    "var_depth": Family(config=VarDepthConfig, network=VarDepthNetwork, presets=VAR_DEPTH_PRESETS),
    "tiny_encoder": Family(
        config=tiny.TinyEncoderConfig, network=tiny.TinyEncoder, presets=tiny.PRESETS
    ),
    "photo_encoder": Family(
        config=photo.PhotoEncoderConfig, network=photo.PhotoEncoder, presets=photo.PRESETS
    ),
    "depth_anything_v2": Family(
        config=dinov2.DinoV2Config,
        network=depth_anything_v2.DepthAnythingV2,
        presets=dinov2.PRESETS,
    ),
    "moge2": Family(
        config=moge2_config.MoGe2Config, network=moge2.MoGe2, presets=moge2_config.PRESETS
    ),
    "pi3": Family(config=pi3.Pi3Config, network=pi3.Pi3, presets=pi3.PRESETS),
    "tiny_video_encoder": Family(
        config=tiny_video.TinyVideoConfig,
        network=tiny_video.TinyVideoEncoder,
        presets=tiny_video.PRESETS,
    ),
    # what depth models of other families start from
    "var": Family(
        config=DepthARTConfig,
        network=VARAlone,
        presets={
            n: c for n, c in DEPTHART_PRESETS.items() if n.startswith("d") and n[1:].isdigit()
        },
    ),
    "switti": Family(config=VarDepthConfig, network=SwittiAlone, presets={"512": COMPAT}),
    "depth_tokenizer": Family(config=VQConfig, network=VQVAE, presets=TOKENIZER_PRESETS),
}


def family_of(name: str, where: object) -> Family:
    """The family of a name in a file; WeightsError if this version does not know it."""
    if name not in FAMILIES:
        raise WeightsError(
            where, f"unknown family {name!r}", f"This version knows {', '.join(FAMILIES)}"
        )
    return FAMILIES[name]


def config_from_metadata(metadata: Mapping[str, str], where: object) -> Any:
    """The config that one of our files states: its own, or that of its preset."""
    family = family_of(metadata.get("family", ""), where)
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
    presets = FAMILIES[family].presets
    return next((name for name, preset in presets.items() if preset == config), CUSTOM)


def build(family: str, config: Any) -> nn.Module:
    """The network without memory (meta device)."""
    with torch.device("meta"), _Undrawn():
        return FAMILIES[family].network(config)


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


class _Undrawn(TorchFunctionMode):
    """Leaves normal draws out: without memory they do nothing but import the compiler (seconds)."""

    def __torch_function__(
        self, func: Any, types: Any, args: Any = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        named = kwargs or {}
        if func in (nn.init.normal_, Tensor.normal_):  # within the first, the mode is switched off
            return args[0] if args else named["tensor"]
        return func(*args, **named)


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
