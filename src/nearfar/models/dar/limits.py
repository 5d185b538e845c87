"""What a DAR configuration must fulfil; every refusal names the field and the values."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import TYPE_CHECKING, get_args, get_type_hints

from nearfar.errors import ConfigError

if TYPE_CHECKING:
    from .config import DARConfig

_POSITIVE = (
    "layers", "width", "heads", "token_width", "memory_width", "context_width", "decoder_width",
    "hidden_width", "bins", "bin_width", "bin_kernel", "bin_grid", "multiple", "area",
)  # fmt: skip
GROUPS = 4  # of every GroupNorm over decoder and tiny context


def check(config: DARConfig) -> None:
    """ConfigError for the first field that cannot be."""
    for name in _POSITIVE:
        value = getattr(config, name)
        if not isinstance(value, int) or value < 1:
            raise ConfigError(f"DARConfig.{name}", f"{value!r} is not a positive integer")
    if (config.vit is None) == (config.tiny is None):
        raise ConfigError("DARConfig.vit", "one photo encoder is needed", "Give vit or tiny")
    if not (math.isfinite(config.far) and 0 < config.near < config.far):
        raise ConfigError(
            "DARConfig.near", f"range {config.near} to {config.far} m", "Needs 0 < near < far"
        )
    if config.layers % 2 == 0:
        raise ConfigError(
            "DARConfig.layers", f"{config.layers} is even", "Long skips need a middle"
        )
    if config.width % config.heads:
        raise ConfigError("DARConfig.heads", f"{config.heads} do not divide width {config.width}")
    if config.has_embeddings and config.token_width % 4:
        raise ConfigError(
            "DARConfig.token_width",
            f"{config.token_width} is no multiple of 4",
            "Positions are 2-D",
        )
    if config.bins < 3:
        raise ConfigError("DARConfig.bins", f"{config.bins} cannot narrow", "Use 4 or more")
    _check_steps(config)
    _check_choices(config)


def _check_steps(config: DARConfig) -> None:
    shares = config.fractions
    rising = all(a < b for a, b in pairwise(shares))
    if not shares or not rising or shares[0] <= 0 or shares[-1] != 1:
        raise ConfigError("DARConfig.fractions", f"{shares}", "They must rise to 1")
    if min(config.last_grid) < 2:
        raise ConfigError("DARConfig.last_grid", f"{config.last_grid} is below 2 x 2 tokens")
    if config.vit is not None and (config.multiple % 28 or config.vit.depth < 4):
        raise ConfigError(
            "DARConfig.multiple",
            f"{config.multiple} pixels, {config.vit.depth} ViT blocks",
            "The neck needs multiples of 28 and four blocks",
        )


def _check_choices(config: DARConfig) -> None:
    from . import config as module

    for name, hint in get_type_hints(module.DARConfig).items():
        allowed = get_args(hint)
        is_choice = bool(allowed) and all(isinstance(value, str) for value in allowed)
        if is_choice and getattr(config, name) not in allowed:
            raise ConfigError(
                f"DARConfig.{name}", f"{getattr(config, name)!r}", f"Use one of {allowed}"
            )
    if config.memory_stride not in (8, 14):
        raise ConfigError("DARConfig.memory_stride", f"{config.memory_stride}", "Use 14 or 8")
    normed = ("decoder_width", "hidden_width") if config.norm == "group" else ()
    for name in (*normed, *(("context_width",) if config.tiny is not None else ())):
        if getattr(config, name) % GROUPS:
            raise ConfigError(
                f"DARConfig.{name}", f"{getattr(config, name)} is no multiple of {GROUPS}"
            )
    if config.has_prior and (config.tiny is None or config.bin_rule != "paper"):
        raise ConfigError(
            "DARConfig.has_prior", "needs the tiny encoder's depth and bins by the paper's rule"
        )
    if config.spacing == "log" and config.bin_rule != "paper":
        raise ConfigError("DARConfig.spacing", "log bins follow the paper's rule only")
