"""The DAR network (arXiv 2411.11361; docs/dar.md sections 2 to 5): its parts and what a step does.

A step runs its tokens through the transformer, decodes them, injects the bins in force, and reads
depth off their probabilities; sample.py holds the loop over steps.

Shapes: B batch, H W photo pixels, h w grid of tokens or bins, C channels, L tokens, M memory
tokens, D token width, K steps. The bins of a pixel are channels.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nearfar.encoders.efficientnet_lite import ScaledConv
from nearfar.encoders.photo import PhotoEncoder
from nearfar.encoders.tiny import TinyEncoder
from nearfar.errors import ConfigError

from .bins import (
    BinProjection,
    Bins,
    ConvGRU,
    ElasticBins,
    Expectation,
    ProbabilityHead,
    ReleasedBins,
    Shares,
    TokenDecoder,
    expectation,
    spread_around,
    uniform_bins,
)
from .config import GROUPS, DARConfig
from .photo_encoder import Encoded, SmallMemory, VitEncoder
from .transformer import CachedRun, GridSize, RecomputedRun, Transformer, step_sizes

_QUERY_IMAGE = (3, 4)  # aspect of the photos the stored query tokens belong to
_OCTAVES = 5.0  # positions: from half a wave over the photo to 2^5 times that


class Injected(NamedTuple):
    """hidden_BChw: map after the ConvGRU; found: depth and spread in the space of the bins.

    shares: of the bins; None of rivals without any.
    """

    hidden_BChw: Tensor
    found: Expectation
    shares: Shares | None = None


class DARNetwork(nn.Module):
    """Depth in metres from a photo, in K steps of finer tokens and narrower bins.

    Construct with `initial.new_network` (initialized) or under `torch.device("meta")` before
    `load_state_dict(..., assign=True)`.
    """

    def __init__(self, config: DARConfig) -> None:
        super().__init__()
        self.config = config
        hidden, width = config.hidden_width, config.token_width
        self.encoder = SmallMemory(config) if config.vit is None else VitEncoder(config)
        h, w = self.sizes(_QUERY_IMAGE)[0]
        self.query_tokens = nn.Parameter(torch.zeros(1, h * w, width))
        self.level_embedding = None
        if config.has_embeddings:
            self.level_embedding = nn.Parameter(torch.zeros(len(config.fractions), width))
        self.transformer = Transformer(
            layers=config.layers,
            width=config.width,
            heads=config.heads,
            token_width=width,
            memory_width=config.memory_width,
        )
        groups = GROUPS if config.norm == "group" else None
        self.token_decoder = TokenDecoder(width, config.decoder_width, hidden, groups=groups)
        self.bin_projection = BinProjection(config.bins, config.bin_width, kernel=config.bin_kernel)
        self.gru = ConvGRU(hidden, config.bin_width + config.context_width)
        self.probability = ProbabilityHead(hidden, config.bins)
        self.feedback = nn.Conv2d(hidden, width, 1) if config.feedback == "gru" else None

    def checkpointed(self, is_on: bool = True) -> None:
        """Save memory in training: transformer blocks are computed again in the backward pass."""
        self.transformer.is_checkpointed = is_on

    def blocks(self) -> dict[nn.Module, tuple[str, ...]]:
        """Blocks that sharded training gathers one at a time; methods besides forward they run."""
        entered: dict[nn.Module, tuple[str, ...]] = {}
        if isinstance(self.encoder, VitEncoder):
            entered |= {block: () for block in self.encoder.backbone.blocks}
        return entered | {block: ("remember",) for block in self.transformer.mid_block}

    def encode(self, image_B3HW: Tensor) -> Encoded:
        """Memory and context of RGB in 0..1 of any size, padded with 0 right and below."""
        H, W = image_B3HW.shape[-2:]
        if min(H, W) < 1 or image_B3HW.shape[1] != 3:
            raise ConfigError("DARNetwork", f"photo {list(image_B3HW.shape)}", "Give [B,3,H,W]")
        padded = self.padded_size((H, W))
        h, w = self.sizes(padded)[-1]
        if h > H or w > W:
            finding = f"a photo of {H}x{W} pixels is smaller than its grid of {h}x{w} tokens"
            raise ConfigError("DARNetwork", finding, "Enlarge it, or choose a smaller last_grid")
        return self.encoder(F.pad(image_B3HW, (0, padded[1] - W, 0, padded[0] - H)))

    def padded_size(self, image_hw: GridSize) -> GridSize:
        """The next multiples of the config's `multiple`."""
        m = self.config.multiple
        return -(-image_hw[0] // m) * m, -(-image_hw[1] // m) * m

    def sizes(self, image_hw: GridSize) -> list[GridSize]:
        """Token maps of every step for a (padded) photo."""
        config = self.config
        return step_sizes(image_hw, last_grid=config.last_grid, fractions=config.fractions)

    def bin_grid(self, sizes_hw: list[GridSize], step: int) -> GridSize:
        """The grid on which a step reads its depth."""
        h, w = sizes_hw[step if self.config.is_grid_per_step else -1]
        return h * self.config.bin_grid, w * self.config.bin_grid

    def begin(self, memory_BMD: Tensor, sizes_hw: list[GridSize]) -> CachedRun | RecomputedRun:
        """The transformer, ready for the first step; tokens can be cached only under the mask."""
        if self.config.is_masked:
            capacity = sum(h * w for h, w in sizes_hw)
            return CachedRun(self.transformer, memory_BMD, capacity=capacity)
        return RecomputedRun(self.transformer, memory_BMD, sizes_hw=sizes_hw, is_masked=False)

    def first_bins(self, size_hw: GridSize, like_BMD: Tensor) -> Bins:
        """The first step's bins in metres (or ln metres), by the rule of the config."""
        config = self.config
        near, far = config.near, config.far
        if config.spacing == "log":
            near, far = math.log(near), math.log(far)
        batch, device = len(like_BMD), like_BMD.device
        bins = uniform_bins(
            size_hw, batch=batch, near=near, far=far, count=config.bins, device=device
        )
        if config.bin_rule == "released":
            return ReleasedBins(bins, bins)
        if config.bin_rule == "elastic":
            return ElasticBins(bins.edges(), near, far)
        return bins

    def queries(self, size_hw: GridSize, batch: int) -> Tensor:
        """The first step's input map [B,C,h,w]: the learned tokens, resized to other grids."""
        stored_hw = self.sizes(_QUERY_IMAGE)[0]
        map_1Chw = self.query_tokens.transpose(1, 2).unflatten(2, stored_hw)
        return _bilinear(map_1Chw, size_hw).expand(batch, -1, -1, -1)

    def input_tokens(self, map_BChw: Tensor, *, step: int) -> Tensor:
        """Row-major tokens [B,L,D] of a step's input map, told where and at what step they are."""
        x_BLD = map_BChw.flatten(2).transpose(1, 2)
        if self.level_embedding is None:
            return x_BLD
        h, w = map_BChw.shape[-2:]
        place_LD = grid_positions((h, w), width=x_BLD.shape[-1], like=x_BLD)
        return x_BLD + (place_LD + self.level_embedding[step])

    def prior(
        self, encoded: Encoded, before: Expectation | None, size_hw: GridSize
    ) -> Tensor | None:
        """Depth [B,1,h,w] that a step starts from, in the space of the bins; None without prior.

        That of the step before it, by nearest pixel and without gradient as its bins; of the
        encoder at the first one.
        """
        if not self.config.has_prior:
            return None
        if before is not None:
            return F.interpolate(before.depth_B1hw.detach(), size=size_hw, mode="nearest")
        assert encoded.small is not None
        log_B1hw = _bilinear(encoded.small.log_depth_BHW.float()[:, None], size_hw)
        return log_B1hw if self.config.spacing == "log" else log_B1hw.exp()

    def inject(
        self,
        tokens_BChw: Tensor,
        context_BChw: Tensor,
        bins: Bins,
        *,
        prior_B1hw: Tensor | None = None,
    ) -> Injected:
        """Decoded tokens with bins and context (both on the bin grid) in them, and their depth.

        prior_B1hw: what the logits say before the network does: -(distance in bins)^2 / 2.
        """
        h, w = context_BChw.shape[-2:]
        hidden_BChw = _bilinear(self.token_decoder(tokens_BChw), (h, w))
        centers_BChw = bins.centers()
        candidates_BChw = self.bin_projection(centers_BChw.to(context_BChw.dtype))
        hidden_BChw = self.gru(hidden_BChw, torch.cat([candidates_BChw, context_BChw], dim=1))
        start_BChw = None
        if prior_B1hw is not None:
            width_B1hw = centers_BChw[:, 1:2] - centers_BChw[:, :1]
            start_BChw = -0.5 * ((centers_BChw - prior_B1hw) / width_B1hw) ** 2
        probability_BChw = self.probability(hidden_BChw, start_BChw)
        found = expectation(probability_BChw, centers_BChw)
        return Injected(hidden_BChw, found, Shares(probability_BChw, centers_BChw))

    def next_input(self, tokens_BChw: Tensor, hidden_BChw: Tensor, size_hw: GridSize) -> Tensor:
        """The next step's input map: this one's tokens, with what the ConvGRU made of them.

        Released code: the tokens alone, so that the bins never reach the transformer.
        """
        if self.feedback is not None:
            h, w = tokens_BChw.shape[-2:]
            pooled_BChw = F.adaptive_avg_pool2d(hidden_BChw, (h, w))
            tokens_BChw = tokens_BChw + self.feedback(pooled_BChw)
        return _bilinear(tokens_BChw, size_hw)

    def in_metres(self, found: Expectation, first: Shares | None = None) -> Expectation:
        """Depth and spread in metres; first: the bins of the first step."""
        if self.config.spread_of_first and first is not None:
            found = found._replace(spread_B1hw=spread_around(found.depth_B1hw, first))
        if self.config.spacing == "linear":
            return found
        depth_B1hw = found.depth_B1hw.exp()
        return Expectation(depth_B1hw, depth_B1hw.detach() * found.spread_B1hw)


def grid_positions(size_hw: GridSize, *, width: int, like: Tensor) -> Tensor:
    """Sines and cosines [h*w, width] of places in 0..1, so that all grids share one frame.

    A quarter of the width each: sin and cos of rows, sin and cos of columns, at frequencies
    pi * 2^(5 j / (quarter - 1)).
    """
    quarter = width // 4
    octave_E = torch.linspace(0, _OCTAVES, quarter, device=like.device)
    frequency_E = math.pi * 2**octave_E
    h, w = size_hw
    y_h, x_w = ((torch.arange(n, device=like.device) + 0.5) / n for n in (h, w))
    row_hwE = torch.outer(y_h, frequency_E)[:, None].expand(h, w, quarter)
    column_hwE = torch.outer(x_w, frequency_E)[None].expand(h, w, quarter)
    parts = [row_hwE.sin(), row_hwE.cos(), column_hwE.sin(), column_hwE.cos()]
    return torch.cat(parts, dim=-1).flatten(0, 1).to(like.dtype)


def _bilinear(x_BChw: Tensor, size_hw: GridSize) -> Tensor:
    """The map at another size, or itself."""
    if tuple(x_BChw.shape[-2:]) == tuple(size_hw):
        return x_BChw
    return F.interpolate(x_BChw, size=size_hw, mode="bilinear", align_corners=False)


# Fresh weights of DAR from a generator (docs/dar.md sections 3, 4).
#
# Transformer: Linear xavier uniform (packed matrices: each part on its own), bias 0. Token decoder:
# N(0, 0.001) as released where it has BatchNorm, else by fan in. Query tokens and levels: 0. The
# rest: uniform in +-1/sqrt(fan in), as torch does; with a prior, the last layer starts at 0. A
# photo encoder starts like that too, but is meant to be loaded.

_PACKED = {"qkv": 3, "kv": 2}


def new_network(config: DARConfig, *, generator: torch.Generator) -> DARNetwork:
    """A float32 network on the CPU with fresh weights."""
    with torch.device("meta"):  # so that no module draws from torch's global generator
        network = DARNetwork(config)
    network.to_empty(device="cpu")
    init_weights(network, generator=generator)
    return network


@torch.no_grad()
def init_weights(network: DARNetwork, *, generator: torch.Generator) -> None:
    """Set every weight and buffer."""
    for parameter in network.parameters(recurse=True):
        parameter.zero_()  # class tokens, positions, queries, levels, biases of xavier layers
    for name, module in network.named_modules():
        if isinstance(module, nn.BatchNorm2d):
            module.reset_running_stats()
        if isinstance(module, nn.LayerNorm | nn.GroupNorm | nn.BatchNorm2d):
            if module.weight is not None:
                nn.init.ones_(module.weight)
        elif name.endswith(("ls1", "ls2")):
            nn.init.ones_(module.gamma)
        elif isinstance(module, nn.Linear | nn.Conv2d | nn.ConvTranspose2d):
            _draw(name, module, network.config, generator)
            if isinstance(module, ScaledConv):
                nn.init.ones_(module.scale)
    if network.config.has_prior:  # so that a fresh network answers with it
        for parameter in network.probability.conv2.parameters():
            parameter.zero_()
    backbone = network.encoder.backbone
    if isinstance(backbone, TinyEncoder):  # its residual branches start as the identity
        for name, module in backbone.named_modules():
            if name.endswith("norm2") and isinstance(module, nn.BatchNorm2d):
                nn.init.zeros_(module.weight)
    elif isinstance(backbone, PhotoEncoder):  # and its maps at one depth
        nn.init.zeros_(backbone.decoder.maps.weight)


def _draw(
    name: str,
    module: nn.Linear | nn.Conv2d | nn.ConvTranspose2d,
    config: DARConfig,
    generator: torch.Generator,
) -> None:
    weight = module.weight
    if name.startswith("transformer."):
        for part in weight.chunk(_PACKED.get(name.rpartition(".")[2], 1)):
            nn.init.xavier_uniform_(part, generator=generator)
        return
    if name.startswith("token_decoder.") and config.norm == "batch":
        nn.init.normal_(weight, std=0.001, generator=generator)
        return
    is_transposed = isinstance(module, nn.ConvTranspose2d)  # stride = kernel: one input a pixel
    bound = (weight.shape[0] if is_transposed else weight[0].numel()) ** -0.5
    weight.uniform_(-bound, bound, generator=generator)
    if module.bias is not None:
        module.bias.uniform_(-bound, bound, generator=generator)
