"""The photo and the scales of its depth map as one sequence (docs/nextscale.md section 2).

DepthART (arXiv 2409.15010):
[photo tokens | start token | depth tokens of scales 2..K]. Photo tokens are the partial sums
f_hat_1..f_hat_K of the photo in the depth maps' own tokenizer, each resized to its scale (bicubic);
the input of depth scale k is f_hat_(k-1) of the depth so far (area). Both go through the same
embeddings. The condition of every block is the constant "no class".
With prefix = "encoder" the photo tokens are the semantics of a frozen encoder on the feature grid.
Shapes: B batch, L tokens of all scales, M photo tokens, D width, C code width, V codes.
"""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nearfar.encoders.base import SemanticEncoder
from nearfar.errors import ConfigError
from nearfar.layers.kv_cache import KVCache, empty_cache
from nearfar.tokenizers.vqvae import VQVAE, draw_codebook

from .config import DepthARTConfig
from .square import squash_photo
from .transformer import VARTransformer


class Prefill(NamedTuple):
    """What a photo alone decides: keys and values of its tokens, logits of the first scale."""

    cache: KVCache
    logits_BLV: Tensor


class SemanticPrefix(nn.Module):
    """Semantics of an encoder as photo tokens, one per feature cell, at the places of scale K."""

    def __init__(self, config: DepthARTConfig) -> None:
        super().__init__()
        self.embed = nn.Linear(config.semantics_width, config.width)
        self.place_1LD = nn.Parameter(torch.zeros(1, config.tokenizer.grid**2, config.width))

    def forward(self, semantics_BMD: Tensor) -> Tensor:
        normal_BMD = F.layer_norm(semantics_BMD.float(), semantics_BMD.shape[-1:])
        return self.embed(normal_BMD) + self.place_1LD


class DepthARTNetwork(nn.Module):
    """The transformer with the frozen tokenizer it stands on.

    Construct with `new_network` (initialized) or under `torch.device("meta")` before
    `load_state_dict(..., assign=True)`.
    """

    def __init__(self, config: DepthARTConfig) -> None:
        super().__init__()
        self.config = config
        self.transformer = VARTransformer(config)
        self.semantic_prefix = SemanticPrefix(config) if config.prefix == "encoder" else None
        self.tokenizer = VQVAE(config.tokenizer).requires_grad_(False)

    @property
    def prefix_count(self) -> int:
        """M, photo tokens of a sequence."""
        vq = self.config.tokenizer
        return vq.token_count if self.config.prefix == "tokenizer" else vq.grid**2

    @torch.no_grad()
    def photo_vectors(self, image_B3HW: Tensor, encoder: SemanticEncoder | None) -> Tensor:
        """What is embedded of photos in 0..1 of any size, which are squashed.

        [B,M,C]: partial sums of all scales; or [B,M,D]: semantics.
        """
        if self.semantic_prefix is not None:
            if encoder is None or encoder.width != self.config.semantics_width:
                found = "no encoder" if encoder is None else f"encoder {encoder.width} wide"
                wanted = f"semantics {self.config.semantics_width} wide are needed"
                raise ConfigError("DepthART", f"{found}, {wanted}", "Give the one of its training")
            return encoder.semantics(squash_photo(image_B3HW, self.config, encoder))
        sums = self.tokenizer.encode(2 * squash_photo(image_B3HW, self.config) - 1).partial_sums
        maps = [
            F.interpolate(f_hat_BCHW, size=(p, p), mode="bicubic", align_corners=False)
            for f_hat_BCHW, p in zip(sums, self.config.tokenizer.scales, strict=True)
        ]
        return torch.cat([map_BChw.flatten(2).transpose(1, 2) for map_BChw in maps], dim=1)

    def embed_photo(self, vectors_BMC: Tensor) -> Tensor:
        """Photo tokens [B,M,D]."""
        if self.semantic_prefix is not None:
            return self.semantic_prefix(vectors_BMC)
        return self.transformer.embed(vectors_BMC, first=0)

    def masked_logits(
        self,
        photo_BMC: Tensor,
        inputs_BLC: Tensor,
        *,
        detach_inputs: bool,
        with_start_position: bool = True,
        keep_K2B: Tensor | None = None,
    ) -> Tensor:
        """Logits [B,L,V] of all scales in one pass: training, and the twin of `begin`, `step`.

        inputs_BLC: f_hat_1..f_hat_(K-1) at the sizes of scales 2..K. detach_inputs: no gradient
        through these tokens, to their embeddings neither (dynamic targets).
        """
        transformer, label_1 = self.transformer, self._label()
        modulated = transformer.modulated(label_1)
        start_1LD = transformer.start(label_1, with_position=with_start_position)
        inputs_BLD = transformer.embed(inputs_BLC, first=start_1LD.shape[1])
        photo_BMD = self.embed_photo(photo_BMC)
        x_BLD = torch.cat(
            [
                photo_BMD,
                start_1LD.expand(len(photo_BMD), -1, -1),
                inputs_BLD.detach() if detach_inputs else inputs_BLD,
            ],
            dim=1,
        )
        mask_LL = self.mask(x_BLD.device)
        x_BLD = transformer(x_BLD, modulated, mask_LL=mask_LL, keep_K2B=keep_K2B)
        return transformer.logits(x_BLD[:, photo_BMC.shape[1] :], modulated)

    def mask(self, device: torch.device) -> Tensor:
        """Who may attend to whom, bool [M+L,M+L].

        Depth: the photo, and depth of own and earlier scales. Photo: all of itself and the first
        scale (the start token), as when both are processed in one step without a mask.
        """
        areas = torch.tensor([side**2 for side in self.config.tokenizer.scales], device=device)
        level_L = torch.arange(len(areas), device=device).repeat_interleave(areas)
        photo_M = torch.zeros(self.prefix_count, dtype=level_L.dtype, device=device)
        level_L = torch.cat([photo_M, level_L])
        return level_L[:, None] >= level_L[None, :]

    def begin(self, photo_BMC: Tensor) -> Prefill:
        """Photo and start token in one step, no mask: the prefill, whatever is drawn later."""
        photo_BMD, transformer = self.embed_photo(photo_BMC), self.transformer
        B, _, D = photo_BMD.shape
        heads, label_1 = self.config.heads, self._label()
        modulated = transformer.modulated(label_1)
        start_1LD = transformer.start(label_1)
        x_BLD = torch.cat([photo_BMD, start_1LD.expand(B, -1, -1)], dim=1)
        count = self.prefix_count + self.config.tokenizer.token_count
        cache = empty_cache(
            (B, heads, count, D // heads),
            blocks=self.config.depth,
            dtype=transformer.matrix_dtype,
            device=x_BLD.device,
        )
        x_BLD = transformer(x_BLD, modulated, cache=cache)
        return Prefill(cache, transformer.logits(x_BLD[:, photo_BMD.shape[1] :], modulated))

    def step(self, inputs_BChw: Tensor, *, scale: int, cache: KVCache) -> Tensor:
        """Logits [B,p*p,V] of a later scale (from 1), given f_hat so far at its size."""
        transformer = self.transformer
        modulated = transformer.modulated(self._label())
        first = sum(side**2 for side in self.config.tokenizer.scales[:scale])
        x_BLD = transformer.embed(inputs_BChw.flatten(2).transpose(1, 2), first=first)
        return transformer.logits(transformer(x_BLD, modulated, cache=cache), modulated)

    def cast(self, dtype: torch.dtype) -> DepthARTNetwork:
        """Itself with block matrices and convolutions in `dtype`; the rest stays float32."""
        self.transformer.cast(dtype)
        self.tokenizer.cast(dtype)
        return self

    def _label(self) -> Tensor:
        return torch.tensor(
            [self.transformer.unconditional], device=self.transformer.pos_1LC.device
        )


def new_network(config: DepthARTConfig, *, generator: torch.Generator) -> DepthARTNetwork:
    """A float32 network on the CPU with fresh weights, those of the tokenizer included."""
    with torch.device("meta"):  # so that no module draws from torch's global generator
        network = DepthARTNetwork(config)
    network.to_empty(device="cpu")
    init_weights(network, generator=generator)
    return network


@torch.no_grad()
def init_weights(network: DepthARTNetwork, *, generator: torch.Generator) -> None:
    """Set every weight (docs/nextscale.md section 6.6).

    Embeddings, Linear: normal within two deviations s = (3 D)^-1/2; head s / 50; the Linears that
    write to the stream s / sqrt(2 depth); modulation s / 2, its gates s / 1000. A constant
    modulation starts at gate 1. Biases 0. Tokenizer: uniform in +-1/sqrt(fan in).
    """
    config = network.config
    s = (3 * config.width) ** -0.5

    def draw(weight: Tensor, std: float) -> None:
        nn.init.trunc_normal_(weight, std=std, a=-2 * std, b=2 * std, generator=generator)

    for name, value in network.named_parameters():
        if name.startswith("tokenizer."):
            _init_tokenizer(name, value, generator)
        elif name.endswith("scale_mul_1H11"):
            value.fill_(torch.tensor(4.0).log())
        elif name.endswith("bias") or "ada_gss" in name:
            value.zero_()
        elif name.endswith(("attn.proj.weight", "ffn.fc2.weight")):
            draw(value, s / (2 * config.depth) ** 0.5)
        elif name.endswith(".head.weight"):
            draw(value, s / 50)
        elif "ada_lin" in name:
            draw(value, s / 2)
        else:
            draw(value, s)
    for name, value in network.named_parameters():
        if name.endswith("ada_gss") and config.modulation == "constant" and ".blocks." in name:
            value[:, :, :2] = 1
        elif "ada_lin" in name and "head_nm" not in name:
            value[: 2 * config.width] *= 2e-3
    network.tokenizer.quantize.hits_V.zero_()
    draw_codebook(network.tokenizer, generator=generator)


def _init_tokenizer(name: str, value: Tensor, generator: torch.Generator) -> None:
    """Norms 1 and 0, convolutions by fan in (biases 0)."""
    if value.ndim == 4:
        bound = value[0].numel() ** -0.5
        value.uniform_(-bound, bound, generator=generator)
    else:
        value.fill_(1.0 if "norm" in name and name.endswith("weight") else 0.0)


# Modulation of the one condition that depth uses, computed once (docs/nextscale.md section 2).
#
# Exact: the vectors are those the Linears would give at every step. A third of the parameters of a
# block is no longer stored or read.


@torch.no_grad()
def fold_modulation(network: DepthARTNetwork) -> DepthARTNetwork:
    """A network with modulation = "constant" that gives the same; shares all other tensors."""
    if network.config.modulation == "constant":
        return network
    label_1 = torch.tensor(
        [network.transformer.unconditional], device=network.transformer.pos_1LC.device
    )
    modulated = network.transformer.modulated(label_1)
    tensors = {
        name: tensor
        for name, tensor in network.state_dict().items()
        if "ada_lin" not in name and "ada_gss" not in name
    }
    for index, block_16D in enumerate(modulated.blocks):
        tensors[f"transformer.blocks.{index}.ada_gss"] = block_16D[:, None].clone()
    tensors["transformer.head_nm.ada_gss"] = modulated.head_B2D[:, None].clone()
    # classes would need their own modulation: of their rows only the condition's is left
    unconditional = tensors["transformer.class_emb.weight"][-1:].clone()
    tensors["transformer.class_emb.weight"] = unconditional
    with torch.device("meta"):
        folded: nn.Module = DepthARTNetwork(
            replace(network.config, modulation="constant", classes=0)
        )
    folded.load_state_dict(tensors, assign=True)
    assert isinstance(folded, DepthARTNetwork)
    return folded.train(network.training).requires_grad_(False)
