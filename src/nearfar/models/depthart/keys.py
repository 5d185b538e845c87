"""Tensor names of published VAR and DepthART files (docs/nextscale.md section 9), and ours.

Our attribute names are VAR's, under `transformer.`; the tokenizer's are under `tokenizer.`. What
kind of network a file holds is read from its keys: attention from `scale_mul_1H11`, modulation from
`ada_gss`, sizes from shapes. Every name that has no place is dropped, with a warning unless it is a
constant.
VAR files are flat, or nested in `trainer.var_wo_ddp`; they hold no tokenizer. DepthART files hold
it under `vae_proxy.`, its quantizer once more under `vae_quant_proxy.`; either may be missing.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any, NamedTuple

from torch import Tensor

from nearfar.errors import ConfigError, WeightsError
from nearfar.tokenizers import keys as tokenizer_keys
from nearfar.tokenizers.config import VAR_SCALES, VQConfig

from .config import Attention, DepthARTConfig

log = logging.getLogger(__name__)

NESTS = ("trainer", "var_wo_ddp")
TOKENIZER_PREFIXES = ("vae_proxy.", "vae_quant_proxy.")
TRANSFORMER, TOKENIZER = "transformer.", "tokenizer."
SCALE_MUL = "scale_mul_1H11"
# constants of the released code, which ours computes: no information is lost with them
CONSTANTS = ("lvl_1L", "attn_bias_for_masking", "zero_k_bias")
MARK = "blocks.0.attn.mat_qkv.weight"
_OURS = (
    "pos_start",
    "pos_1LC",
    "word_embed.",
    "class_emb.",
    "lvl_embed.",
    "blocks.",
    "shared_ada_lin.",
    "head_nm.",
    "head.",
)
# what no shape tells: the token maps, by their number and sum of squares
KNOWN_SCALES = {
    (len(scales), sum(side * side for side in scales)): scales
    for scales in (
        VAR_SCALES,
        (1, 2, 3, 4, 6, 9, 13, 18, 24, 32),
        (1, 2, 3, 4, 5, 7, 9, 12, 16, 21, 27, 36, 48, 64),
    )
}


class Published(NamedTuple):
    """tensors: by our names; VAR files leave out the tokenizer. dropped: published names."""

    config: DepthARTConfig
    tensors: dict[str, Tensor]
    dropped: list[str]


def our_name(published: str) -> str | None:
    """The name in our state dict, None for what is dropped."""
    if published.startswith(TOKENIZER_PREFIXES):
        name = tokenizer_keys.our_name(published)
        return None if name is None else TOKENIZER + name
    if published.split(".")[-1] in CONSTANTS or not published.startswith(_OURS):
        return None
    return TRANSFORMER + published


def is_published(content: Mapping[str, Any]) -> bool:
    """Whether this is the content of a VAR or DepthART file."""
    return MARK in _flat(content)


def from_published(
    content: Mapping[str, Any],
    *,
    where: object,
    attention: Attention | None = None,
    scales: tuple[int, ...] | None = None,
    heads: int | None = None,
) -> Published:
    """Config and tensors of a VAR or DepthART file; what is dropped is told, unless constant.

    attention: "plain" does what released DepthART did with VAR files that have l2-norm scales: it
    drops them; None = as the keys say. scales, heads: where they are not those of the published
    models (heads of 64), since no shape tells them.
    """
    tensors = _flat(content)
    if MARK not in tensors:
        tokenizer = " (a VQ-VAE alone)" if tokenizer_keys.is_published(list(tensors)) else ""
        raise WeightsError(where, f"no VAR or DepthART file: {MARK} is missing{tokenizer}")
    # 1. names: transformer, tokenizer, or dropped with a word
    ours: dict[str, Tensor] = {}
    dropped: list[str] = []
    vq_tensors: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        own = our_name(name)
        if name.startswith(TOKENIZER_PREFIXES):
            vq_tensors[name] = tensor
        elif own is None or (attention == "plain" and name.endswith(SCALE_MUL)):
            dropped.append(name)
            if name.split(".")[-1] not in CONSTANTS:
                log.warning("%s: %s is not part of this network and is dropped", where, name)
        else:
            ours[own] = tensor
    # 2. sizes from shapes; tokenizer and transformer must speak of the same codes
    try:
        sides = _scales_of(tensors, scales)
        vq = _published_sizes(tensors, sides)
        if vq_tensors:
            held = tokenizer_keys.from_published(vq_tensors, where=where, scales=sides)
            ours |= {TOKENIZER + name: tensor for name, tensor in held.tensors.items()}
            dropped += held.dropped
            _require_pair(held.config, vq)
            vq = held.config
        config = _config_of(tensors, vq, attention=attention, heads=heads)
    except KeyError as error:
        raise WeightsError(where, f"looks like VAR, but {error} is missing") from error
    except ConfigError as error:
        raise WeightsError(where, f"no VAR or DepthART of sizes known here ({error})") from error
    return Published(config, ours, dropped)


def _flat(content: Mapping[str, Any]) -> dict[str, Tensor]:
    """The tensors of the innermost known nest."""
    for nest in NESTS:
        inner = content.get(nest)
        content = inner if isinstance(inner, Mapping) else content
    return {str(name): value for name, value in content.items() if isinstance(value, Tensor)}


def _scales_of(tensors: Mapping[str, Tensor], asked: tuple[int, ...] | None) -> tuple[int, ...]:
    """The token maps that fit the file's numbers of levels and tokens."""
    count, tokens = len(tensors["lvl_embed.weight"]), tensors["pos_1LC"].shape[1]
    scales = KNOWN_SCALES.get((count, tokens)) if asked is None else asked
    if scales is None or (len(scales), sum(side * side for side in scales)) != (count, tokens):
        raise ConfigError(
            "scales", f"{scales}, but the file has {count} scales of {tokens} tokens in all"
        )
    return scales


def _published_sizes(tensors: Mapping[str, Tensor], scales: tuple[int, ...]) -> VQConfig:
    """The published tokenizer, with the codes that the transformer speaks of."""
    codebook, code_width = len(tensors["head.weight"]), tensors["word_embed.weight"].shape[1]
    return VQConfig(codebook=codebook, code_width=code_width, scales=scales)


def _require_pair(held: VQConfig, wanted: VQConfig) -> None:
    """ConfigError unless tokenizer and transformer have the same codes."""
    if (held.codebook, held.code_width) != (wanted.codebook, wanted.code_width):
        raise ConfigError(
            "codebook",
            f"the tokenizer has {held.codebook} codes of width {held.code_width}, the transformer "
            f"{wanted.codebook} of width {wanted.code_width}",
        )


def _config_of(
    tensors: Mapping[str, Tensor], vq: VQConfig, *, attention: Attention | None, heads: int | None
) -> DepthARTConfig:
    """Sizes from names and shapes; heads from scale_mul, else 64 wide as all that are published."""
    classes, width = tensors["class_emb.weight"].shape
    numbers = {int(name.split(".")[1]) for name in tensors if name.startswith("blocks.")}
    scale_mul = tensors.get(f"blocks.0.attn.{SCALE_MUL}")
    if attention == "l2_norm" and scale_mul is None:
        raise ConfigError("attention", f"l2_norm, but the file has no {SCALE_MUL}")
    return DepthARTConfig(
        width=width,
        depth=1 + max(numbers),
        heads=heads or (max(1, width // 64) if scale_mul is None else scale_mul.shape[1]),
        mlp_ratio=len(tensors["blocks.0.ffn.fc1.weight"]) // width,
        classes=classes - 1,
        attention=attention or ("plain" if scale_mul is None else "l2_norm"),
        modulation="shared" if "blocks.0.ada_gss" in tensors else "block",
        tokenizer=vq,
    )
