"""Tensor names of published VQ-VAE files (docs/nextscale.md section 9), and ours.

Our attribute names are the published ones but for the correction convolutions, which the release
names by how they are shared: one for all `quantize.quant_resi.qresi.*`, several
`quantize.quant_resi.qresi_ls.{i}.*`, one a scale `quantize.quant_resi.{i}.*`. VAR and Switti files
hold 324 tensors: 323 of the network, and the counter `quantize.ema_vocab_hit_SV`, which is dropped.
DepthART keeps the tokenizer under `vae_proxy.`, its quantizer once more under `vae_quant_proxy.`.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from nearfar.errors import ConfigError, WeightsError

from .config import VAR_SCALES, VQConfig

PREFIXES = ("vae_proxy.", "vae_quant_proxy.", "module.", "_orig_mod.")
COUNTER = "quantize.ema_vocab_hit_SV"
MARK = "quantize.embedding.weight"  # every file of this kind has it
HITS = "quantize.hits_V"  # ours: choices in training; nothing is published about them
_PARTS = ("encoder.", "decoder.", "quantize.", "quant_conv.", "post_quant_conv.")
_RESI, _PHI = "quantize.quant_resi.", "quantize.phi."

log = logging.getLogger(__name__)


class Tokenizer(NamedTuple):
    """tensors: by our names. dropped: published names that have no place here."""

    config: VQConfig
    tensors: dict[str, Tensor]
    dropped: list[str]


def bare_name(published: str) -> str:
    """The name without prefixes; a quantizer alone (`vae_quant_proxy.`) gets its `quantize.`."""
    name, quantizer_alone = published, False
    while prefix := next((p for p in PREFIXES if name.startswith(p)), ""):
        name = name.removeprefix(prefix)
        quantizer_alone |= prefix == "vae_quant_proxy."
    return f"quantize.{name}" if quantizer_alone else name


def our_name(published: str) -> str | None:
    """The name in our state dict; None for the counter and for what is no part of a tokenizer."""
    name = bare_name(published)
    if name == COUNTER or not name.startswith(_PARTS):
        return None
    if not name.startswith(_RESI):
        return name
    rest = name.removeprefix(_RESI)
    if rest.startswith("qresi."):
        rest = f"0.{rest.removeprefix('qresi.')}"
    return _PHI + rest.removeprefix("qresi_ls.")


def published_name(ours: str, *, phi_count: int) -> str | None:
    """The published name of one of our tensors; None for `hits_V`, which is ours alone."""
    if ours == HITS:
        return None
    if not ours.startswith(_PHI):
        return ours
    rest = ours.removeprefix(_PHI)
    if phi_count == 0:
        return _RESI + rest
    return f"{_RESI}qresi.{rest.partition('.')[2]}" if phi_count == 1 else f"{_RESI}qresi_ls.{rest}"


def is_published(names: Mapping[str, Tensor] | Sequence[str]) -> bool:
    """Whether these names are those of a VQ-VAE file, with or without a family beside it."""
    return any(bare_name(name) == MARK for name in names)


def from_published(
    tensors: Mapping[str, Tensor], *, where: object, scales: Sequence[int] | None = None
) -> Tokenizer:
    """Config and tensors of a published file; every name dropped is told in a warning.

    scales: the token maps, which no shape tells; default: those of VAR at 256 px. Errors:
    WeightsError if it is no VQ-VAE, or holds one tensor twice with different values.
    """
    ours: dict[str, Tensor] = {}
    dropped = []
    for name, tensor in tensors.items():
        own = our_name(name)
        if own is None:
            dropped.append(name)
        elif own in ours and not torch.equal(ours[own], tensor):
            raise WeightsError(where, f"{own} comes twice with different values")
        else:
            ours[own] = tensor
    for name in dropped:
        log.warning("%s: %s is not part of the tokenizer and is dropped", where, name)
    phi_names = [bare_name(name) for name in tensors if bare_name(name).startswith(_RESI)]
    try:
        config = _config_of(ours, phi_names, tuple(scales or VAR_SCALES))
    except (KeyError, ConfigError) as error:
        raise WeightsError(where, f"no VQ-VAE of the VAR family ({error})") from error
    ours[HITS] = torch.zeros(config.codebook, dtype=torch.int64)
    return Tokenizer(config, ours, dropped)


def _config_of(
    tensors: Mapping[str, Tensor], phi_names: list[str], scales: tuple[int, ...]
) -> VQConfig:
    """Sizes from names and shapes; residual 0.5, no z-norm, 32 groups, as all that are published.

    KeyError names the tensor that is missing.
    """
    channels, image_channels = tensors["encoder.conv_in.weight"].shape[:2]
    codebook, code_width = tensors[MARK].shape
    levels = 1 + max(_numbers(tensors, "encoder.down."), default=0)
    blocks = 1 + max(_numbers(tensors, "encoder.down.0.block."), default=0)
    widths = [len(tensors[f"encoder.down.{level}.block.0.conv1.weight"]) for level in range(levels)]
    count = len({name.rpartition(".")[0] for name in phi_names})
    shared = any("qresi" in name for name in phi_names)
    return VQConfig(
        channels=channels,
        multipliers=tuple(width // channels for width in widths),
        blocks=blocks,
        code_width=code_width,
        codebook=codebook,
        scales=scales,
        phi_count=count if shared else 0,
        image_channels=image_channels,
    )


def _numbers(names: Mapping[str, Tensor], prefix: str) -> set[int]:
    """The numbers that follow the prefix."""
    heads = {name.removeprefix(prefix).split(".")[0] for name in names if name.startswith(prefix)}
    return {int(head) for head in heads if head.isdigit()}
