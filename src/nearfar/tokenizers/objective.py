"""What a tokenizer learns (arXiv 2404.02905; docs/nextscale.md section 1, training).

L = L1(image) + gradient_weight * L1(differences of the error at strides 1, 2, 4, 8)
  + vq_weight * mean over scales of [beta mse(sg(f_hat_k), f) + mse(f_hat_k, sg(f))]
with beta = 0.25 and the straight-through f_hat_K. The paper adds LPIPS and GAN terms, of which a
depth map has no need: its detail is its edges, which the gradient term names.
Images are squashed to the tokenizer's square.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from nearfar.batch import DepthBatch
from nearfar.errors import ConfigError

from .revival import DEAD_BELOW, HITS_PER_SWEEP, codebook_use, count_and_revive
from .vqvae import VQVAE

STRIDES = (1, 2, 4, 8)

# metres and valid [B,H,W] to an image [B,1,H,W] in -1..1: a curve of geometry.depth_curves
DepthToImage = Callable[[Tensor, Tensor], Tensor]


class TokenizerLosses(NamedTuple):
    """The scalar to minimize and named scalars for the log."""

    total: Tensor
    parts: dict[str, Tensor]


class TokenizerObjective:
    """Losses of a batch of depth maps, the first `photo_share` of it taken as photos instead.

    curves: name -> function from metres and valid to an image, of which `curve` is used; passed in,
    as this room knows no depth (train/targets.py takes them from geometry.depth_curves).
    hits_per_sweep: how often dead codes are looked for (revival.py), 0 = never.
    """

    def __init__(
        self,
        network: VQVAE,
        *,
        curves: Mapping[str, DepthToImage],
        curve: str = "log",
        gradient_weight: float = 0.5,
        vq_weight: float = 1.0,
        photo_share: float = 0.0,
        hits_per_sweep: float = HITS_PER_SWEEP,
        dead_below: float = DEAD_BELOW,
    ) -> None:
        for name, value in (("gradient_weight", gradient_weight), ("vq_weight", vq_weight)):
            if value < 0:
                raise ConfigError(name, f"{value} is negative")
        if not 0 <= photo_share <= 1:
            raise ConfigError("photo_share", f"{photo_share} is not within 0..1")
        if photo_share and network.config.image_channels != 3:
            raise ConfigError(
                "photo_share",
                f"{photo_share}, but the tokenizer takes {network.config.image_channels} channel",
                "Use a preset with image_channels=3, or photo_share=0",
            )
        if curve not in curves:
            raise ConfigError("curve", f"unknown {curve!r}", f"Use one of {', '.join(curves)}")
        self.network = network
        self.curve, self.to_image = curve, curves[curve]
        self.gradient_weight = gradient_weight
        self.vq_weight = vq_weight
        self.photo_share = photo_share
        self.hits_per_sweep = hits_per_sweep
        self.dead_below = dead_below

    def __call__(self, batch: DepthBatch, *, generator: torch.Generator) -> TokenizerLosses:
        """Losses over pixels with depth or sky (all pixels of photos); depth in metres.

        `generator` draws places for dead codes.
        """
        image_B3HW, depth_BHW, valid_BHW, sky_BHW, _ = batch
        network = self.network
        target_BCHW, usable_B1HW = self._targets(image_B3HW, depth_BHW, valid_BHW, sky_BHW)
        taken = network.quantize(network.features(target_BCHW))
        guess_BCHW = network.reconstruct(taken.f_hat_BCHW)
        error_BCHW = (guess_BCHW - target_BCHW) * usable_B1HW
        channels = network.config.image_channels
        image = error_BCHW.abs().sum() / (channels * usable_B1HW.sum().clamp_min(1))
        gradient = error_gradient(error_BCHW, usable_B1HW)
        total = image + self.gradient_weight * gradient + self.vq_weight * taken.loss
        parts = {"image": image, "gradient": gradient}
        parts |= {"codebook": taken.codebook, "commitment": taken.commitment}
        parts = {name: part.detach() for name, part in parts.items()}
        if network.training:
            moved = count_and_revive(
                network.quantize,
                taken,
                generator=generator,
                hits_per_sweep=self.hits_per_sweep,
                dead_below=self.dead_below,
            )
            parts["revived"] = total.new_tensor(float(moved))
        use = codebook_use(torch.bincount(taken.indices_P, minlength=network.config.codebook))
        parts["used"] = total.new_tensor(use.used)
        parts["perplexity"] = total.new_tensor(use.perplexity)
        return TokenizerLosses(total, parts)

    def _targets(
        self, image_B3HW: Tensor, depth_BHW: Tensor, valid_BHW: Tensor, sky_BHW: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Images [B,C,H,W] at the tokenizer's size and which pixels [B,1,H,W] count, float32."""
        config = self.network.config
        size = (config.image_size, config.image_size)
        usable_BHW = valid_BHW | sky_BHW
        depth_BHW, valid_BHW, usable_BHW = (
            squash_nearest(map_BHW, size) for map_BHW in (depth_BHW, valid_BHW, usable_BHW)
        )
        target_BCHW = self.to_image(depth_BHW, valid_BHW)
        target_BCHW = target_BCHW.expand(-1, config.image_channels, -1, -1)
        usable_B1HW = usable_BHW[:, None].float()
        photos = round(self.photo_share * len(image_B3HW))
        if photos:
            photo_B3HW = squash_photo(image_B3HW[:photos].float(), size)
            target_BCHW = torch.cat([2 * photo_B3HW - 1, target_BCHW[photos:]])
            usable_B1HW = torch.cat([torch.ones_like(usable_B1HW[:photos]), usable_B1HW[photos:]])
        return target_BCHW, usable_B1HW


def error_gradient(error_BCHW: Tensor, usable_B1HW: Tensor) -> Tensor:
    """Mean |difference of the error| between usable neighbors, summed over strides 1, 2, 4, 8."""
    total = error_BCHW.new_zeros(())
    for stride in STRIDES:
        e_BCHW, m_B1HW = error_BCHW[..., ::stride, ::stride], usable_B1HW[..., ::stride, ::stride]
        for dim in (2, 3):
            length = e_BCHW.shape[dim] - 1
            both_B1HW = m_B1HW.narrow(dim, 1, length) * m_B1HW.narrow(dim, 0, length)
            count = (both_B1HW.sum() * e_BCHW.shape[1]).clamp_min(1)
            total = total + (e_BCHW.diff(dim=dim).abs() * both_B1HW).sum() / count
    return total


def squash_nearest(map_BHW: Tensor, size_hw: tuple[int, int]) -> Tensor:
    """A depth map or mask at another size and shape by nearest neighbor, dtype kept."""
    if map_BHW.shape[-2:] == size_hw:
        return map_BHW
    resized_B1HW = F.interpolate(map_BHW[:, None].float(), size=size_hw, mode="nearest-exact")
    return resized_B1HW[:, 0].to(map_BHW.dtype)


def squash_photo(image_B3HW: Tensor, size_hw: tuple[int, int]) -> Tensor:
    """A photo at another size and shape: bilinear, anti-aliased, within 0..1."""
    if image_B3HW.shape[-2:] == size_hw:
        return image_B3HW
    return F.interpolate(
        image_B3HW, size=size_hw, mode="bilinear", align_corners=False, antialias=True
    )
