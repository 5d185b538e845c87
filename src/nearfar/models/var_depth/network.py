"""VAR-Depth: a photo as condition, a depth map as ten scales of tokens (arXiv 2512.22653).

Earlier scales reach a scale through f_hat alone, unless config.is_causal. What the photo decides
is computed once (`condition`), whatever number of scales and samples follows; then either all
scales in one pass (`all_logits`, training), or one scale after the other (`step`).
Shapes: B batch, L tokens, M context tokens, D width, C code width, V codes, h w grid of a scale.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nearfar.encoders.base import SemanticEncoder
from nearfar.errors import ConfigError
from nearfar.layers.kv_cache import KVCache
from nearfar.tokenizers.quantizer import float32_island
from nearfar.tokenizers.vqvae import VQVAE

from .condition import (
    ContextAndPooled,
    PhotoCondition,
    PhotoFeatures,
    PromptCondition,
    Pyramid,
    crop_numbers,
)
from .config import VarDepthConfig
from .pixel_upsampler import PixelUpsampler
from .scale_ladder import ConcatInjection, Injections, ScaleLadder
from .square import squash_photo
from .transformer import Conditions, SwittiTransformer


class Conditioned(NamedTuple):
    """All that a photo decides. features: None where nothing is placed (released, or no photo).

    keep_B: samples that have a photo, None = all.
    """

    conditions: Conditions
    features: PhotoFeatures | None
    pooled_BD: Tensor
    keep_B: Tensor | None


class ScaleOutput(NamedTuple):
    """Logits of a scale; u_BChw is the ladder there, which the next scale takes."""

    logits_BLV: Tensor
    u_BChw: Tensor | None


class VarDepthNetwork(nn.Module):
    """Transformer, condition, way to places, second stage, and the frozen tokenizer.

    Construct with `initial.new_network` (initialized) or under `torch.device("meta")` before
    `load_state_dict(..., assign=True)`.
    """

    def __init__(self, config: VarDepthConfig) -> None:
        super().__init__()
        self.config = config
        self.transformer = SwittiTransformer(config)
        self.prompt: PromptCondition | None = None
        self.condition: PhotoCondition | None = None
        if config.condition == "adapter":
            self.prompt = PromptCondition(config)
        else:
            self.condition = PhotoCondition(config)
        self.pyramid: Pyramid | None = None
        if config.photo == "encoder" and config.spatial == "ladder":
            self.pyramid = Pyramid(config)
        self.ladder = ScaleLadder(config) if config.spatial == "ladder" else None
        self.concat = ConcatInjection(config) if config.spatial == "concat" else None
        self.upsampler = None if config.upsampler == "none" else PixelUpsampler(config)
        self.tokenizer = VQVAE(config.tokenizer).requires_grad_(False)

    @property
    def device(self) -> torch.device:
        """Where its weights are."""
        return self.transformer.pos_start.device

    def features(self, image_B3HW: Tensor, encoder: SemanticEncoder | None) -> PhotoFeatures:
        """Features of photos in 0..1 of any size, which are squashed."""
        if self.config.photo == "encoder":
            return self._semantic_features(image_B3HW, encoder)
        with torch.no_grad():
            image_B3HW = squash_photo(image_B3HW, self.config)
            x_BCHW = (2 * image_B3HW - 1).to(self.tokenizer.quant_conv.weight.dtype)
            *levels, middle_BChw = self.tokenizer.encoder.levels(x_BCHW)
            codes_BChw = middle_BChw
            if self.concat is not None:
                codes_BChw = self.tokenizer.features(2 * image_B3HW - 1)
            maps = (levels[-3], levels[-2], middle_BChw, codes_BChw)
            return PhotoFeatures(*(map_BCHW.float() for map_BCHW in maps))

    def condition_on(
        self,
        image_B3HW: Tensor,
        *,
        encoder: SemanticEncoder | None = None,
        keep_B: Tensor | None = None,
    ) -> Conditioned:
        """Conditions of photos in 0..1 of any size, squashed; keep_B False drops the photo."""
        if self.prompt is not None:
            found = self.prompt(2 * squash_photo(image_B3HW, self.config) - 1)
            return Conditioned(self._prepare(found), None, found.pooled_BD, None)
        assert self.condition is not None
        with float32_island(image_B3HW):
            features = self.features(image_B3HW, encoder)
        found = self.condition(features)
        if keep_B is not None:
            found = self.condition.without(found, keep_B=keep_B)
        return Conditioned(self._prepare(found), features, found.pooled_BD, keep_B)

    def unconditional(self) -> Conditioned:
        """Conditions of no photo; ConfigError where the network was not trained without one."""
        if self.condition is None or not self.config.has_null:
            raise ConfigError(
                "guidance_scale",
                "this network has no unconditional branch to be guided away from",
                "Leave --guidance-scale out",
            )
        found = self.condition.null()
        return Conditioned(self._prepare(found), None, found.pooled_BD, None)

    def all_logits(
        self, inputs: Sequence[Tensor], given: Conditioned, *, masked: bool = False
    ) -> Tensor:
        """Logits [B,L,V] of all scales in one pass; inputs: f_hat at the sizes of scales 2..K.

        masked: one attention with a mask, instead of one per scale: the twin, and the only way of
        a causal network.
        """
        parts: list[Tensor] = []
        injected: list[Injections] = []
        u_BChw = None
        for scale in range(len(self.config.tokenizer.scales)):
            inputs_BChw = None if scale == 0 else inputs[scale - 1]
            found = self._inject(inputs_BChw, given, scale=scale, u_BChw=u_BChw)
            parts.append(self._tokens(inputs_BChw, given, found, scale=scale))
            if found is not None:
                u_BChw = found.u_BChw
                injected.append(found)
        places = injected[0].before if injected else ()
        B = max(len(part_BLD) for part_BLD in parts)
        return self.transformer(
            torch.cat([part_BLD.expand(B, -1, -1) for part_BLD in parts], dim=1),
            given.conditions,
            first=0,
            sides=self.config.tokenizer.scales,
            mask_LL=self.transformer.mask(self.device) if masked or self.config.is_causal else None,
            injected={
                place: torch.cat([one.before[place].expand(B, -1, -1) for one in injected], dim=1)
                for place in places
            },
        )

    def step(
        self,
        inputs_BChw: Tensor | None,
        given: Conditioned,
        *,
        scale: int,
        u_BChw: Tensor | None,
        cache: KVCache | None = None,
    ) -> ScaleOutput:
        """Logits [B,p*p,V] of one scale, given f_hat at its size (None at the first)."""
        sides = self.config.tokenizer.scales
        found = self._inject(inputs_BChw, given, scale=scale, u_BChw=u_BChw)
        x_BLD = self._tokens(inputs_BChw, given, found, scale=scale)
        if cache is not None:  # one start token of one photo, for several samples
            x_BLD = x_BLD.expand(cache.batch, -1, -1)
        logits_BLV = self.transformer(
            x_BLD,
            given.conditions,
            first=sum(side * side for side in sides[:scale]),
            sides=sides[scale : scale + 1],
            cache=cache,
            injected=None if found is None else found.before,
        )
        return ScaleOutput(logits_BLV, None if found is None else found.u_BChw)

    def cast(self, dtype: torch.dtype) -> VarDepthNetwork:
        """Itself with block matrices and the tokenizer in `dtype`, the rest float32.

        Whatever the file's precision was: exported files are float16.
        """
        self.float()
        self.transformer.cast(dtype)
        self.tokenizer.cast(dtype)
        return self

    def _tokens(
        self,
        inputs_BChw: Tensor | None,
        given: Conditioned,
        found: Injections | None,
        *,
        scale: int,
    ) -> Tensor:
        """What enters the transformer at a scale, [B,p*p,D]."""
        if inputs_BChw is None:
            x_BLD = self.transformer.start(given.conditions)
        else:
            x_BLD = self.transformer.embed(inputs_BChw.flatten(2).transpose(1, 2), scale=scale)
        return x_BLD if found is None else x_BLD + found.entry_BLD

    def _inject(
        self,
        inputs_BChw: Tensor | None,
        given: Conditioned,
        *,
        scale: int,
        u_BChw: Tensor | None,
    ) -> Injections | None:
        """What the photo adds at its places, None where nothing is placed."""
        if given.features is None:
            return None
        if self.ladder is not None:
            return self.ladder(
                given.features,
                given.pooled_BD,
                inputs_BChw=inputs_BChw,
                u_BChw=u_BChw,
                scale=scale,
                keep_B=given.keep_B,
            )
        if self.concat is not None:
            return self.concat(given.features, scale=scale, keep_B=given.keep_B)
        return None

    def _prepare(self, found: ContextAndPooled) -> Conditions:
        """The transformer's part; photos are squashed to its size, as published inference does."""
        crop_B4 = None
        if self.config.has_crop:
            side = self.config.tokenizer.image_size
            crop_B4 = crop_numbers([(side, side)]).to(self.device)
        return self.transformer.prepare(
            found.pooled_BD, found.context_BMD, bias_BM=found.bias_BM, crop_B4=crop_B4
        )

    def _semantic_features(
        self, image_B3HW: Tensor, encoder: SemanticEncoder | None
    ) -> PhotoFeatures:
        """Semantics on the grid, normalized, and our own finer features."""
        if encoder is None or encoder.width != self.config.semantics_width:
            finding = "no encoder" if encoder is None else f"encoder {encoder.width} wide"
            wanted = f"semantics {self.config.semantics_width} wide are needed"
            raise ConfigError("VAR-Depth", f"{finding}, {wanted}", "Give the one of its training")
        grid = self.config.tokenizer.grid
        seen_B3HW = squash_photo(image_B3HW, self.config, encoder)
        with torch.no_grad():
            semantics_BLD = encoder.semantics(seen_B3HW).float()
        normal_BLD = F.layer_norm(semantics_BLD, semantics_BLD.shape[-1:])
        coarse_BChw = normal_BLD.transpose(1, 2).unflatten(2, (grid, grid))
        fine_BCHW = middle_BCHW = coarse_BChw
        if self.pyramid is not None:
            fine_BCHW, middle_BCHW = self.pyramid(2 * squash_photo(seen_B3HW, self.config) - 1)
        return PhotoFeatures(fine_BCHW, middle_BCHW, coarse_BChw, coarse_BChw)


# Fresh weights of a VAR-Depth network.
#
# Linears of the transformer: normal within two deviations s = (3 D)^-1/2; those that write to the
# stream s / sqrt(2 depth), modulation s / 2, head s / 50. The gates of self-attention and FFN start
# at a constant (trained from scratch; a gate near 0 learns slowly), as does the gain of the
# ungated cross-attention. Last Linear of each condition MLP: N(0, 0.02). Whatever places the photo
# starts at 0, so does the last convolution of our second stage. Crop frequencies and null tokens:
# N(0, 1). Convolutions and the rest: uniform in +-1/sqrt(fan in).

GATE = 0.5
_ZEROS = ("ladder.into", "concat.weight_DC", "crop_cond_scales", "gain_KC", "shift_KC")
_NORMALS = ("crop_embed.weight", "null_context_D", "null_pooled_D", "learned_MD", "global_D")
_CONSTANTS = {"alpha_logit": 0.1, "beta_logit": 0.1, "prefix_delta_logit": -2.0}


def new_network(config: VarDepthConfig, *, generator: torch.Generator) -> VarDepthNetwork:
    """A float32 network on the CPU with fresh weights, those of the tokenizer included."""
    with torch.device("meta"):  # so that no module draws from torch's global generator
        network = VarDepthNetwork(config)
    network.to_empty(device="cpu")
    init_weights(network, generator=generator)
    return network


@torch.no_grad()
def init_weights(network: VarDepthNetwork, *, generator: torch.Generator) -> None:
    """Set every weight."""
    for name, value in network.named_parameters():
        _draw(name, value, network.config, generator)
    for name, buffer in network.named_buffers():
        assert "prompt." in name or name.endswith("hits_V")
        buffer.zero_()
    gates = slice(0, 2 * network.config.width)
    for name, value in network.transformer.blocks.named_parameters():
        if name.endswith("ada_lin.1.weight"):
            value[gates] *= 2e-3
        elif name.endswith("ada_lin.1.bias"):
            value[gates] = GATE
        elif name.endswith("cross_attention_norm2.weight"):
            value.fill_(GATE)
    if network.upsampler is not None and network.upsampler.is_residual:
        network.upsampler.unet.conv_out.weight.zero_()


def _draw(name: str, value: Tensor, config: VarDepthConfig, generator: torch.Generator) -> None:
    s = (3 * config.width) ** -0.5
    last = name.rpartition(".")[2]
    if last in _CONSTANTS:
        value.fill_(_CONSTANTS[last])
    elif name.endswith(_ZEROS) or last == "bias":
        value.zero_()
    elif name.endswith(_NORMALS):
        value.normal_(generator=generator)
    elif last == "weight" and value.ndim == 1:
        value.fill_(1.0)  # gains of norms
    elif last in ("static_prefix_KMD", "prefix_context_basis") or name.endswith("mlp.2.weight"):
        value.normal_(std=0.02, generator=generator)
    elif value.ndim == 4 or not name.startswith("transformer."):
        bound = value[0].numel() ** -0.5
        value.uniform_(-bound, bound, generator=generator)
    else:
        std = s
        if name.endswith((".proj.weight", "ffn.fc2.weight", "down_proj.weight")):
            std = s / (2 * config.depth) ** 0.5
        elif name == "transformer.head.weight":
            std = s / 50
        elif "ada_lin" in name:
            std = s / 2
        nn.init.trunc_normal_(value, std=std, a=-2 * std, b=2 * std, generator=generator)
