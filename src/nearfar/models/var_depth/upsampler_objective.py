"""What the second stage learns: depth at pixel size from coarse depth and the photo (spec A2, C3).

L = L1 + 0.5 MSE + gradient_weight * multi-scale gradient loss of images in -1..1. Coarse maps are
the truth made coarse (one factor k of 2..8 per batch, bilinear down and up, noise 0.02 per pixel
and 0.03 per sample), or, for own_share of the batches, what the first stage says of the photo
(mean codes, no gradient). Released code: the first kind only, gradient_weight 0, and timesteps
drawn from 0..999 that mean nothing; here they are drawn for the released network alone.
Shapes: B batch, H W pixels.
"""

from __future__ import annotations

import logging

import torch
from torch import Tensor
from torch.nn import functional as F

from nearfar.encoders.base import SemanticEncoder
from nearfar.errors import ConfigError
from nearfar.family import TrainingParts, TrainingTarget
from nearfar.geometry.depth_curves import encode_depth, preview_depth
from nearfar.geometry.gradient_loss import gradient_loss
from nearfar.geometry.resize import resize
from nearfar.models.base import Losses
from nearfar.tokenizers.quantizer import float32_island

from .choose import Choose
from .initial import new_network
from .network import VarDepthNetwork
from .sample import sample_f_hat
from .square import squash_photo

log = logging.getLogger(__name__)

SMALLEST, LARGEST = 2, 8  # factors of the synthetic coarse maps
LEAST_SIDE = 8
PIXEL_NOISE, SAMPLE_NOISE = 0.02, 0.03
MSE_WEIGHT = 0.5
TIMESTEPS = 1000


class UpsamplerObjective:
    """Losses of the second stage of a network whose first stage is left as it is."""

    def __init__(
        self,
        network: VarDepthNetwork,
        encoder: SemanticEncoder | None = None,
        *,
        own_share: float = 0.5,
        gradient_weight: float = 0.5,
    ) -> None:
        if network.upsampler is None:
            raise ConfigError(
                "VAR-Depth", "this preset has no second stage", "Use tiny_fine, geo or compat"
            )
        if not 0 <= own_share <= 1:
            raise ConfigError("own_share", f"{own_share} is not within 0..1")
        if gradient_weight < 0:
            raise ConfigError("gradient_weight", f"{gradient_weight} is negative")
        self.network, self.upsampler, self.encoder = network, network.upsampler, encoder
        self.own_share, self.gradient_weight = own_share, gradient_weight

    def __call__(
        self,
        image_B3HW: Tensor,
        depth_BHW: Tensor,
        *,
        valid_BHW: Tensor,
        sky_BHW: Tensor,
        fov_x_deg_B: Tensor,
        generator: torch.Generator,
    ) -> Losses:
        """Losses of photos in 0..1 and maps in metres, over pixels with depth or sky."""
        size_hw = self.upsampler.size_for((image_B3HW.shape[-2], image_B3HW.shape[-1]))
        photo_B3HW = resize(image_B3HW, size_hw, method="area").clamp(0, 1)
        maps = (depth_BHW, valid_BHW & ~sky_BHW, valid_BHW | sky_BHW)
        depth_BHW, known_BHW, usable_BHW = (resize(x, size_hw, method="nearest") for x in maps)
        curve = self.network.config.curve
        target_B1HW = encode_depth(depth_BHW, known_BHW, curve=curve).image_B1HW
        # drawn whether used or not, so that options do not shift the stream
        own, factor, *times = torch.rand(
            len(image_B3HW) + 2, generator=generator, device=generator.device
        ).tolist()
        k = SMALLEST + int(factor * (LARGEST - SMALLEST + 1))
        coarse_B1HW = coarsened(target_B1HW, factor=k, generator=generator)
        if own < self.own_share:
            coarse_B1HW = self.first_stage(image_B3HW, size_hw)
        timestep_B = torch.zeros(len(image_B3HW), device=image_B3HW.device)
        if not self.upsampler.is_residual:
            timestep_B += torch.tensor([int(TIMESTEPS * time) for time in times]).to(timestep_B)
        guess_B1HW = self.upsampler(2 * photo_B3HW - 1, coarse_B1HW, timestep_B).float()
        return self._losses(guess_B1HW[:, 0], target_B1HW[:, 0], usable_BHW)

    @torch.no_grad()
    def first_stage(self, image_B3HW: Tensor, size_hw: tuple[int, int]) -> Tensor:
        """What the first stage says of photos, [B,1,H,W] at the second's size; draws nothing."""
        network = self.network
        with float32_island(image_B3HW):
            photo_B3HW = squash_photo(image_B3HW, network.config)
            given = network.condition_on(photo_B3HW, encoder=self.encoder)
            unused = [torch.Generator()] * len(image_B3HW)
            f_hat_BChw = sample_f_hat(
                network, given, choose=Choose(mode="expected"), generators=unused
            )
            coarse_B1HW = network.tokenizer.decode(f_hat_BChw).mean(dim=1, keepdim=True)
        return resize(coarse_B1HW, size_hw, method="bilinear")

    def _losses(self, guess_BHW: Tensor, target_BHW: Tensor, usable_BHW: Tensor) -> Losses:
        error_BHW = (guess_BHW - target_BHW) * usable_BHW
        count = usable_BHW.sum().clamp_min(1)
        absolute, square = error_BHW.abs().sum() / count, error_BHW.square().sum() / count
        total = absolute + MSE_WEIGHT * square
        parts = {"absolute": absolute.detach(), "square": square.detach()}
        if self.gradient_weight > 0:
            gradient = gradient_loss(guess_BHW, target_BHW, usable_BHW)
            total, parts["gradient"] = total + self.gradient_weight * gradient, gradient.detach()
        return Losses(total, parts)


def coarsened(image_B1HW: Tensor, *, factor: int, generator: torch.Generator) -> Tensor:
    """A depth image as if it had been small, with a little noise, within -1..1."""
    B, _, H, W = image_B1HW.shape
    size = (max(LEAST_SIDE, H // factor), max(LEAST_SIDE, W // factor))
    small_B1hw = F.interpolate(image_B1HW, size=size, mode="bilinear", align_corners=False)
    coarse_B1HW = F.interpolate(small_B1hw, size=(H, W), mode="bilinear", align_corners=False)
    device = generator.device
    pixels_B1HW = torch.randn(B, 1, H, W, generator=generator, device=device).to(coarse_B1HW)
    shifts_B111 = torch.randn(B, 1, 1, 1, generator=generator, device=device).to(coarse_B1HW)
    return (coarse_B1HW + PIXEL_NOISE * pixels_B1HW + SAMPLE_NOISE * shifts_B111).clamp(-1, 1)


def upsampler_target(parts: TrainingParts) -> TrainingTarget:
    """A whole VAR-Depth network of which only the second stage is trained."""
    config = parts.config
    encoder = parts.frozen_encoder() if config.photo == "encoder" else None
    network = new_network(config, generator=parts.generator())
    options = parts.options(UpsamplerObjective)
    objective = UpsamplerObjective(network, encoder, **options)
    parts.put_tokenizer(network.tokenizer, own_scales=True)
    if not parts.has_start and objective.own_share > 0:
        log.warning("train.init_from is empty: the second stage learns from an untrained first")
    network.requires_grad_(False)
    objective.upsampler.requires_grad_(True)
    network.to(parts.device)

    def preview(image_B3HW: Tensor, generator: torch.Generator, steps: int) -> Tensor:
        photo_hw = (image_B3HW.shape[-2], image_B3HW.shape[-1])
        size_hw = objective.upsampler.size_for(photo_hw)
        coarse_B1HW = objective.first_stage(image_B3HW, size_hw)
        photo_B3HW = resize(image_B3HW, size_hw, method="area").clamp(0, 1)
        times_B = torch.zeros(len(image_B3HW), device=image_B3HW.device)
        fine_B1HW = objective.upsampler(2 * photo_B3HW - 1, coarse_B1HW, times_B).clamp(-1, 1)
        return preview_depth(fine_B1HW, curve=config.curve, size_hw=photo_hw)

    return TrainingTarget(
        network=network,
        objective=objective,
        preview=preview,
        family="var_depth",
        preset=parts.preset,
        encoder="" if encoder is None else encoder.name,
        encoder_sha256="" if encoder is None else parts.encoder_sha256(),
    )
