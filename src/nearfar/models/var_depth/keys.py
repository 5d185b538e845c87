"""Tensor names of Switti, VAR-Depth's adapter and U-Net, and ours (docs/nextscale.md section 9).

ours                      published                                         where
transformer.*             the same without prefix                           Switti's file
(none)                    lvl_1L, attn_bias_for_masking: rebuilt            Switti's file
prompt.adapter.*          adapter_state_dict.*                              adapter_prefix.pt
prompt.static_prefix_KMD  static_prefix_context_scales, twice               adapter_prefix.pt
upsampler.unet.*          the same without prefix                           second stage
tokenizer.*               see tokenizers/keys.py                            VQVAE-Switti

Every name that has no place here and is not rebuilt is told in a warning. The embedding of the
constant prompt is in none of the files: see condition.py.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from torch import Tensor

from nearfar.errors import ConfigError, WeightsError

from .config import VarDepthConfig
from .presets import COMPAT

REBUILT = ("lvl_1L", "attn_bias_for_masking")
PREFIXES = ("module.", "_orig_mod.", "transformer.")
NESTS = ("state_dict", "model", "trainer.var_wo_ddp", "model_state_dict", "unet_state_dict")
HEAD_WIDTH = 64  # of every published Switti
ADAPTER, STATIC = "adapter_state_dict", "static_prefix_context_scales"
FIRST_FORMAT_STATIC = "prefix_context_scales"
_EMBEDDINGS = (
    "pos_start",
    "word_embed.",
    "text_pooler.",
    "lvl_embed.",
    "crop_embed.",
    "crop_proj.",
)
_PARTS = (*_EMBEDDINGS, "blocks.", "head_nm.", "head.")
_UNET = ("conv_in.", "time_embedding.", "down_blocks.", "mid_block.", "up_blocks.", "conv_")

log = logging.getLogger(__name__)


class Part(NamedTuple):
    """Tensors by our names, published names dropped, and the config as far as the part tells it."""

    tensors: dict[str, Tensor]
    dropped: list[str]
    config: VarDepthConfig


def is_switti(names: Sequence[str]) -> bool:
    """Whether these are names of a Switti transformer."""
    bare = {_bare(name) for name in names}
    return "text_pooler.weight" in bare and "blocks.0.cross_attn.to_kv.weight" in bare


def from_switti(
    content: Mapping[str, Any],
    *,
    where: object,
    base: VarDepthConfig = COMPAT,
    heads: int | None = None,
    is_causal: bool = False,
) -> Part:
    """The transformer of a published file in a network otherwise like `base`.

    heads: where they are not 64 wide. is_causal: use_ar of its card, which no shape tells. Errors:
    WeightsError if it is no Switti, or does not fit the tokenizer of `base`.
    """
    names = {_bare(name): value for name, value in _flat(content).items()}
    if not is_switti([*names]):
        what = "a VAR or DepthART file" if "class_emb.weight" in names else "no Switti transformer"
        raise WeightsError(where, what, "VAR-Depth stands on Switti (text-to-image)")
    ours = {name: value for name, value in names.items() if name.startswith(_PARTS)}
    dropped = [name for name in names if name not in ours]
    _warn(where, [name for name in dropped if name not in REBUILT], "the transformer")
    try:
        config = _switti_config(ours, base, heads=heads, is_causal=is_causal)
    except (KeyError, ConfigError) as error:
        raise WeightsError(where, f"looks like Switti, but {error}") from error
    _require_tokenizer(ours, config, where)
    return Part({f"transformer.{name}": t for name, t in ours.items()}, dropped, config)


def from_adapter(
    content: Mapping[str, Any],
    *,
    where: object,
    base: VarDepthConfig = COMPAT,
    as_released: bool = False,
) -> Part:
    """Adapter and static prefix of `adapter_prefix.pt`, and its prefix mode.

    as_released: give mode none the (untrained) static prefix, as the released inference did.
    """
    if not isinstance(content.get(ADAPTER), Mapping):
        raise WeightsError(where, f"no {ADAPTER} in it", "Expected VAR-Depth's adapter_prefix.pt")
    tensors = {f"prompt.adapter.{name}": t for name, t in content[ADAPTER].items()}
    mode = str(content.get("prefix_mode", base.prefix_mode))
    static = content.get(STATIC, content.get(FIRST_FORMAT_STATIC))
    if static is None:
        raise WeightsError(where, f"no {STATIC} in it")
    tensors["prompt.static_prefix_KMD"] = static
    known = (ADAPTER, STATIC, FIRST_FORMAT_STATIC, "prefix_mode")
    dropped = [name for name in content if name not in known]
    _warn(where, dropped, "the adapter")
    if mode == "none" and as_released:
        mode = "static"
    try:
        return Part(tensors, dropped, replace(base, prefix_mode=mode))
    except ConfigError as error:
        raise WeightsError(where, str(error)) from error


def from_upsampler(
    content: Mapping[str, Any], *, where: object, base: VarDepthConfig = COMPAT
) -> Part:
    """The U-Net of the second stage."""
    names = _flat(content)
    ours = {name: t for name, t in names.items() if name.startswith(_UNET)}
    if "conv_in.weight" not in ours or "mid_block.resnets.0.conv1.weight" not in ours:
        raise WeightsError(where, "no U-Net of VAR-Depth's second stage")
    dropped = [name for name in names if name not in ours]
    _warn(where, dropped, "the second stage")
    return Part({f"upsampler.unet.{name}": t for name, t in ours.items()}, dropped, base)


def _switti_config(
    tensors: Mapping[str, Tensor], base: VarDepthConfig, *, heads: int | None, is_causal: bool
) -> VarDepthConfig:
    """Sizes from shapes; KeyError names what is missing."""
    width, pooled_width = tensors["text_pooler.weight"].shape
    numbers = {int(name.split(".")[1]) for name in tensors if name.startswith("blocks.")}
    return replace(
        base,
        width=width,
        depth=1 + max(numbers),
        heads=heads or max(1, width // HEAD_WIDTH),
        context_width=tensors["blocks.0.cross_attn.to_kv.weight"].shape[1],
        pooled_width=pooled_width,
        ffn="swiglu" if "blocks.0.ffn.gate_proj.weight" in tensors else "gelu",
        has_crop="crop_embed.weight" in tensors,
        is_causal=is_causal,
    )


def _require_tokenizer(
    tensors: Mapping[str, Tensor], config: VarDepthConfig, where: object
) -> None:
    """The tokenizer's codes and scales must be those the transformer speaks of."""
    vq = config.tokenizer
    found = (
        len(tensors["head.weight"]),
        tensors["word_embed.weight"].shape[1],
        len(tensors["lvl_embed.weight"]),
    )
    wanted = (vq.codebook, vq.code_width, len(vq.scales))
    if found != wanted:
        raise WeightsError(
            where,
            "codes, code width, scales {}, {}, {}; its tokenizer has {}, {}, {}".format(
                *found, *wanted
            ),
            "Give the tokenizer it was trained with",
        )


def _flat(content: Mapping[str, Any]) -> dict[str, Tensor]:
    """The tensors, out of any nesting that is known."""
    while nest := next((n for n in NESTS if isinstance(content.get(n), Mapping)), None):
        content = content[nest]
    return {str(name): value for name, value in content.items() if isinstance(value, Tensor)}


def _bare(name: str) -> str:
    while prefix := next((p for p in PREFIXES if name.startswith(p)), ""):
        name = name.removeprefix(prefix)
    return name


def _warn(where: object, names: Sequence[str], part: str) -> None:
    for name in names:
        log.warning("%s: %s is not part of %s and is dropped", where, name, part)
