"""The PPD transformer (arXiv 2510.07316, "SP-DiT" and "Cas-DiT"; docs/ppd.md section 1).

Shapes: B batch, H W pixels, L tokens (coarse h*w, fine 4*h*w), D width.
Attribute names give the published tensor names (keys.py). Runs in float32 or bfloat16 weights, or
under autocast; the latent comes in, and the velocity goes out, as float32.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nearfar.errors import ConfigError
from nearfar.layers.adaln import AdaLNBlock, adaln_modulation
from nearfar.layers.norm import modulated_layer_norm
from nearfar.layers.patch import PatchEmbed, expand_tokens, unpatchify
from nearfar.layers.rope import RopeTables, rope_tables
from nearfar.layers.timestep import TimestepEmbedder

from .config import PPDConfig
from .detail import DetailHead, chosen

IN_CHANNELS = 4  # noisy depth, then R, G, B; of clean predictions the encoder's map too
TOKEN_CHANNELS = 8  # values a pixel that fine tokens hand to the detail convolutions
_LEAST_TIME = 0.05  # below it a velocity is (x_t - clean) / this, so that it stays finite
_SPREAD_RANGE = (-6.0, 1.0)  # of the logarithm of the spread


class CleanMap(NamedTuple):
    """What a network with prediction "clean" says: the map itself and how unsure it is.

    clean_B1HW: in the frame of the encoder's map. log_spread_B1HW: ln of the mean absolute error
    that it expects.
    """

    clean_B1HW: Tensor
    log_spread_B1HW: Tensor


class FinalLayer(nn.Module):
    """Modulated LayerNorm and a Linear to the pixels of a fine token (docs/ppd.md section 1.8)."""

    def __init__(self, width: int, *, patch_size: int, channels: int = 1) -> None:
        super().__init__()
        self.linear = nn.Linear(width, channels * patch_size**2)
        self.adaLN_modulation = adaln_modulation(width, chunks=2)

    def forward(self, x_BLD: Tensor, time_BD: Tensor) -> Tensor:
        """Pixels of every token, [B,L,channels*patch_size^2]."""
        shift_BD, scale_BD = self.adaLN_modulation(time_BD).chunk(2, dim=-1)
        return self.linear(modulated_layer_norm(x_BLD, shift_BD=shift_BD, scale_BD=scale_BD))


class PPDNetwork(nn.Module):
    """Velocity of a noisy depth map, given the photo, its semantics and the time.

    Construct with `new_network` (initialized) or under `torch.device("meta")` before
    `load_state_dict(..., assign=True)`.
    """

    def __init__(self, config: PPDConfig) -> None:
        super().__init__()
        self.config = config
        width = config.width
        is_clean = config.prediction == "clean"
        channels_in = IN_CHANNELS + is_clean
        self.x_embedder = PatchEmbed(channels_in, width, patch_size=config.coarse_patch)
        self.t_embedder = TimestepEmbedder(width)
        self.blocks = nn.ModuleList(
            AdaLNBlock(
                width, config.heads, mlp_ratio=config.mlp_ratio, activation=config.activation
            )
            for _ in range(config.depth)
        )
        self.proj_fusion = nn.Sequential(
            nn.Linear(width + config.semantics_width, 4 * width),
            nn.SiLU(),
            nn.Linear(4 * width, 4 * width),
            nn.SiLU(),
            nn.Linear(4 * width, 4 * width),
        )
        channels = TOKEN_CHANNELS if is_clean else 1
        self.final_layer = FinalLayer(width, patch_size=config.patch_size, channels=channels)
        self.detail: DetailHead | None = None
        if is_clean:
            self.detail = DetailHead(TOKEN_CHANNELS + channels_in, config.detail_channels)

    def forward(
        self,
        latent_B1HW: Tensor,
        image_B3HW: Tensor,
        semantics_BLD: Tensor,
        *,
        timestep: int | Tensor,
        anchor_B1HW: Tensor | None = None,
    ) -> Tensor:
        """Velocity [B,1,H,W] float32.

        latent: noisy depth. image: RGB 0..1. semantics: one un-normalized vector per coarse token,
        row-major. timestep: 0..1000; an int (or one entry) serves the whole batch and is faster.
        anchor: the encoder's map, only for prediction "clean".
        """
        if anchor_B1HW is not None:
            found = self.clean_map(
                latent_B1HW, image_B3HW, semantics_BLD, timestep=timestep, anchor_B1HW=anchor_B1HW
            )
            return velocity_to(found.clean_B1HW, latent_B1HW, timestep)
        h, w = self._coarse_grid(latent_B1HW, image_B3HW, semantics_BLD)
        input_BCHW = torch.cat([latent_B1HW, image_B3HW - 0.5], dim=1)
        x_BLD, time_BD = self._tokens(input_BCHW, semantics_BLD, timestep, grid_hw=(h, w))
        return self._pixels(x_BLD, time_BD, grid_hw=(2 * h, 2 * w))

    def clean_map(
        self,
        latent_B1HW: Tensor,
        image_B3HW: Tensor,
        semantics_BLD: Tensor,
        *,
        timestep: int | Tensor,
        anchor_B1HW: Tensor,
    ) -> CleanMap:
        """The clean map as a change of the anchor, at first the anchor itself; float32."""
        if self.detail is None:
            raise ConfigError("PPDNetwork", "predicts velocities, not clean maps")
        h, w = self._coarse_grid(latent_B1HW, image_B3HW, semantics_BLD)
        input_BCHW = torch.cat([latent_B1HW, image_B3HW - 0.5, anchor_B1HW], dim=1)
        x_BLD, time_BD = self._tokens(input_BCHW, semantics_BLD, timestep, grid_hw=(h, w))
        x_BLD = self.final_layer(x_BLD, time_BD)
        # Fine tokens give TOKEN_CHANNELS values a pixel: [B,4hw,8*p*p] -> [B,8,H,W]
        x_BChw = x_BLD.transpose(1, 2).unflatten(2, (2 * h, 2 * w))
        x_BCHW = F.pixel_shuffle(x_BChw, self.config.patch_size)
        full_BCHW = torch.cat([x_BCHW, input_BCHW.to(x_BCHW.dtype)], dim=1)
        detail = self.detail(full_BCHW)
        # float32 island: the map is changed in the precision it comes in.
        clean_B1HW = chosen(anchor_B1HW, detail.choice_B1HW) + detail.correction_B1HW
        return CleanMap(clean_B1HW, detail.log_spread_B1HW.clamp(*_SPREAD_RANGE))

    def _tokens(
        self,
        input_BCHW: Tensor,
        semantics_BLD: Tensor,
        timestep: int | Tensor,
        *,
        grid_hw: tuple[int, int],
    ) -> tuple[Tensor, Tensor]:
        """Fine tokens [B,4hw,D] after all blocks, and the time embedding [B,D]."""
        # 1. noisy depth and photo as coarse tokens [B,h*w,D]
        h, w = grid_hw
        x_BLD, time_BD = self._embed(input_BCHW, timestep)

        # 2. the first half of the blocks, which see the whole picture coarsely
        half = self.config.depth // 2
        rope = self._rope((h, w), x_BLD)
        for block in self.blocks[:half]:
            x_BLD = block(x_BLD, time_BD, rope=rope)

        # 3. semantics are fused in, every token becomes 2x2 finer ones [B,4*h*w,D]
        x_BLD = self._fuse(x_BLD, semantics_BLD)
        x_BLD = expand_tokens(x_BLD, grid_hw=(h, w))

        # 4. the second half, on fine tokens
        rope = self._rope((2 * h, 2 * w), x_BLD)
        for block in self.blocks[half:]:
            x_BLD = block(x_BLD, time_BD, rope=rope)
        return x_BLD, time_BD

    def _embed(self, input_BCHW: Tensor, timestep: int | Tensor) -> tuple[Tensor, Tensor]:
        """Coarse tokens [B,L,D] and the time embedding (one row if one timestep serves all)."""
        x_BLD = self.x_embedder(input_BCHW.to(self.x_embedder.proj.weight.dtype))
        timestep_B = torch.as_tensor(timestep, device=input_BCHW.device).reshape(-1)
        return x_BLD, self.t_embedder(timestep_B).to(x_BLD.dtype)

    def _pixels(self, x_BLD: Tensor, time_BD: Tensor, *, grid_hw: tuple[int, int]) -> Tensor:
        """Velocity [B,1,H,W] of fine tokens."""
        x_BLD = self.final_layer(x_BLD, time_BD)
        # float32 island: the sampler's arithmetic stays float32 whatever the weights are.
        return unpatchify(x_BLD.float(), grid_hw=grid_hw, patch_size=self.config.patch_size)

    def _fuse(self, x_BLD: Tensor, semantics_BLD: Tensor) -> Tensor:
        """Coarse tokens with semantics, 4 fine tokens wide: [B,L,4D] (docs/ppd.md section 1.7)."""
        unit_BLD = F.normalize(semantics_BLD.float(), dim=-1, eps=1e-12).to(x_BLD.dtype)
        return self.proj_fusion(torch.cat([x_BLD, unit_BLD], dim=-1))

    def _rope(self, grid_hw: tuple[int, int], x_BLD: Tensor) -> RopeTables:
        """Tables of a grid, once per forward, in the dtype and on the device of the tokens."""
        return rope_tables(
            grid_hw, head_width=self.config.head_width, dtype=x_BLD.dtype, device=x_BLD.device
        )

    def _coarse_grid(
        self, latent_B1HW: Tensor, image_B3HW: Tensor, semantics_BLD: Tensor
    ) -> tuple[int, int]:
        """Rows and columns of coarse tokens; ConfigError if the three inputs do not fit."""
        size_hw, patch = tuple(latent_B1HW.shape[-2:]), self.config.coarse_patch
        h, w = size_hw[0] // patch, size_hw[1] // patch
        if size_hw != (h * patch, w * patch) or tuple(image_B3HW.shape[-2:]) != size_hw:
            raise ConfigError(
                "PPDNetwork",
                f"latent {list(size_hw)}, photo {list(image_B3HW.shape[-2:])}",
                f"Both need the same size, a multiple of {patch}",
            )
        wanted = (h * w, self.config.semantics_width)
        if tuple(semantics_BLD.shape[1:]) != wanted:
            raise ConfigError(
                "PPDNetwork",
                f"semantics {list(semantics_BLD.shape[1:])}, expected {list(wanted)}",
                "Pair the network with the encoder it was trained with",
            )
        return h, w


def velocity_to(clean_B1HW: Tensor, x_B1HW: Tensor, timestep: int | Tensor) -> Tensor:
    """The velocity at x_t that points at this clean map: (x_t - clean) / t (arXiv 2511.13720)."""
    t_B111 = torch.as_tensor(timestep, device=x_B1HW.device).float().view(-1, 1, 1, 1) / 1000
    return (x_B1HW - clean_B1HW) / t_B111.clamp_min(_LEAST_TIME)


def new_network(config: PPDConfig, *, generator: torch.Generator) -> PPDNetwork:
    """A float32 network on the CPU with fresh weights; its output is exactly 0."""
    with torch.device("meta"):  # so that no module draws from torch's global generator
        network = PPDNetwork(config)
    network.to_empty(device="cpu")
    init_weights(network, generator=generator)
    return network


@torch.no_grad()
def init_weights(network: PPDNetwork, *, generator: torch.Generator) -> None:
    """Set every weight (docs/ppd.md section 1, start).

    Linear: xavier uniform, bias 0. Patch convolution: the same on its flattened matrix.
    q, k norms: 1, 0. Time MLP: N(0, 0.02). All adaLN Linears and the final Linear: 0, so that
    every block starts as the identity.
    """
    # What must begin at zero: the output, which with a detail head are the head's.
    modules = dict(network.named_modules())
    zeros = {"detail.out" if "detail.out" in modules else "final_layer.linear"}
    for name, module in modules.items():
        if isinstance(module, nn.LayerNorm):
            nn.init.ones_(module.weight)
            nn.init.zeros_(module.bias)
        elif isinstance(module, nn.Linear | nn.Conv2d):
            assert module.bias is not None
            nn.init.zeros_(module.bias)
            if "adaLN_modulation" in name or name in zeros:
                nn.init.zeros_(module.weight)
            elif name.startswith("t_embedder"):
                nn.init.normal_(module.weight, std=0.02, generator=generator)
            else:
                matrix = module.weight.view(module.weight.shape[0], -1)
                nn.init.xavier_uniform_(matrix, generator=generator)
