"""The rivals of PPD's network in ppd.py: one grid throughout, and a latent VAE.

Both take what `PPDNetwork` takes, so that losses and sampling are the family's own.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nearfar.layers.adaln import AdaLNBlock
from nearfar.layers.patch import PatchEmbed
from nearfar.layers.rope import rope_tables
from nearfar.layers.timestep import TimestepEmbedder
from nearfar.models.ppd.config import PPDConfig
from nearfar.models.ppd.network import FinalLayer, init_weights

SHRINK = 4  # pixels of a latent cell a side
LATENT_CHANNELS = 4
KL_WEIGHT = 1e-3


class FlatDiT(nn.Module):
    """PPD's blocks, all on the fine grid: no cascade. Works on pixels or on latents.

    `latent_BCHW` has 1 / shrink of the photo's sides; the photo is folded to that size.
    """

    def __init__(self, config: PPDConfig, *, channels: int = 1, shrink: int = 1) -> None:
        super().__init__()
        width = config.width
        self.config, self.channels, self.shrink = config, channels, shrink
        self.patch = config.patch_size // shrink
        self.x_embedder = PatchEmbed(channels + 3 * shrink**2, width, patch_size=self.patch)
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
            nn.Linear(4 * width, width),
        )
        # outputs of a token: a square number for one channel of 4x4 pixels and for 4 channels
        self.final_layer = FinalLayer(width, patch_size=math.isqrt(channels * self.patch**2))

    def forward(
        self,
        latent_BCHW: Tensor,
        image_B3HW: Tensor,
        semantics_BLD: Tensor,
        *,
        timestep: int | Tensor,
    ) -> Tensor:
        """Velocity of the latent, float32, at its size."""
        B, C, H, W = latent_BCHW.shape
        h, w = H // self.patch, W // self.patch
        folded_BCHW = F.pixel_unshuffle(image_B3HW - 0.5, self.shrink)
        x_BLD = self.x_embedder(torch.cat([latent_BCHW, folded_BCHW], dim=1))
        timestep_B = torch.as_tensor(timestep).reshape(-1)
        time_BD = self.t_embedder(timestep_B).to(x_BLD.dtype)
        rope = rope_tables(
            (h, w), head_width=self.config.head_width, dtype=x_BLD.dtype, device=x_BLD.device
        )
        half = len(self.blocks) // 2
        for number, block in enumerate(self.blocks):
            if number == half:
                unit_BLD = F.normalize(semantics_BLD.float(), dim=-1, eps=1e-12).to(x_BLD.dtype)
                unit_Bhw4D = unit_BLD.unflatten(1, (h // 2, w // 2))
                fine_BLD = unit_Bhw4D.repeat_interleave(2, 1).repeat_interleave(2, 2).flatten(1, 2)
                x_BLD = self.proj_fusion(torch.cat([x_BLD, fine_BLD], dim=-1))
            x_BLD = block(x_BLD, time_BD, rope=rope)
        out_BLD = self.final_layer(x_BLD, time_BD).float()
        p = self.patch
        out_BhwCpp = out_BLD.view(B, h, w, C, p, p)
        return out_BhwCpp.permute(0, 3, 1, 4, 2, 5).reshape(B, C, H, W)


class Posterior(NamedTuple):
    """Mean and log variance of the latent, [B,C,H/4,W/4]."""

    mean_BChw: Tensor
    log_variance_BChw: Tensor


class DepthVAE(nn.Module):
    """A convolutional VAE of depth maps: 4 channels at a quarter of the sides.

    `mean_C` and `spread_C` (set by `standardize`) bring latents to mean 0 and deviation 1.
    """

    def __init__(self, width: int = 48) -> None:
        super().__init__()
        wide = 2 * width
        self.encoder = nn.Sequential(
            nn.Conv2d(1, width, 3, padding=1),
            ConvBlock(width),
            nn.Conv2d(width, wide, 4, stride=2, padding=1),
            ConvBlock(wide),
            nn.Conv2d(wide, wide, 4, stride=2, padding=1),
            ConvBlock(wide),
            nn.Conv2d(wide, 2 * LATENT_CHANNELS, 1),
        )
        self.decoder = nn.Sequential(
            nn.Conv2d(LATENT_CHANNELS, wide, 3, padding=1),
            ConvBlock(wide),
            nn.Upsample(scale_factor=2),
            nn.Conv2d(wide, wide, 3, padding=1),
            ConvBlock(wide),
            nn.Upsample(scale_factor=2),
            nn.Conv2d(wide, width, 3, padding=1),
            ConvBlock(width),
            nn.Conv2d(width, 1, 3, padding=1),
        )
        self.register_buffer("mean_C", torch.zeros(LATENT_CHANNELS))
        self.register_buffer("spread_C", torch.ones(LATENT_CHANNELS))

    def posterior(self, clean_B1HW: Tensor) -> Posterior:
        mean_BChw, log_variance_BChw = self.encoder(clean_B1HW).float().chunk(2, dim=1)
        return Posterior(mean_BChw, log_variance_BChw.clamp(-20, 5))

    def encode(self, clean_B1HW: Tensor) -> Tensor:
        """Standardized latents (the mean of the posterior)."""
        mean_BChw = self.posterior(clean_B1HW).mean_BChw
        return (mean_BChw - self.mean_C[:, None, None]) / self.spread_C[:, None, None]

    def decode(self, latent_BChw: Tensor) -> Tensor:
        """Depth latents [B,1,H,W] as PPD's, from standardized latents."""
        own_BChw = latent_BChw * self.spread_C[:, None, None] + self.mean_C[:, None, None]
        return self.decoder(own_BChw).float()

    def loss(self, clean_B1HW: Tensor, usable_B1HW: Tensor, noise_BChw: Tensor) -> Tensor:
        """Masked mean |error| of the drawn reconstruction, and 1e-3 times the divergence."""
        mean, log_variance = self.posterior(clean_B1HW)
        out_B1HW = self.decoder(mean + noise_BChw * (0.5 * log_variance).exp()).float()
        error = (usable_B1HW * (out_B1HW - clean_B1HW).abs()).sum() / usable_B1HW.sum().clamp_min(1)
        divergence = 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).mean()
        return error + KL_WEIGHT * divergence

    @torch.no_grad()
    def standardize(self, clean_B1HW: Tensor) -> None:
        """Measure mean and spread of the latents of these maps."""
        mean_BChw = self.posterior(clean_B1HW).mean_BChw
        self.mean_C.copy_(mean_BChw.mean(dim=(0, 2, 3)))
        self.spread_C.copy_(mean_BChw.std(dim=(0, 2, 3)).clamp_min(1e-3))


class ConvBlock(nn.Module):
    """x + two convolutions with group norms."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.GroupNorm(8, width),
            nn.SiLU(),
            nn.Conv2d(width, width, 3, padding=1),
            nn.GroupNorm(8, width),
            nn.SiLU(),
            nn.Conv2d(width, width, 3, padding=1),
        )

    def forward(self, x_BCHW: Tensor) -> Tensor:
        return x_BCHW + self.layers(x_BCHW)


def new_flat(config: PPDConfig, *, generator: torch.Generator, **options: int) -> FlatDiT:
    """Fresh weights as PPD's: the output is exactly 0."""
    with torch.device("meta"):
        network = FlatDiT(config, **options)
    network.to_empty(device="cpu")
    init_weights(network, generator=generator)  # by the names of the parts, which are PPD's
    return network


def new_vae(*, generator: torch.Generator) -> DepthVAE:
    """Kaiming-uniform convolutions; residual blocks start as the identity."""
    vae = DepthVAE()
    for module in reversed(list(vae.modules())):  # parts before wholes
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_uniform_(module.weight, a=math.sqrt(5), generator=generator)
            nn.init.zeros_(module.bias)
        elif isinstance(module, ConvBlock):
            nn.init.zeros_(module.layers[-1].weight)
    return vae
