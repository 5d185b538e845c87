"""What VAR-Depth learns: codes of the depth map at all ten scales (docs/nextscale.md section 3).

Teacher forcing shows the network the map's own f_hat. With self-refinement it sees f_hat of its
own greedy codes, and learns Q_k[f - f_hat_(k-1)], what is left to say (DepthART's dynamic targets,
arXiv 2409.15010). Scales see each other through f_hat alone, so both cost the same.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from nearfar.batch import DepthBatch
from nearfar.encoders.base import SemanticEncoder
from nearfar.errors import ConfigError
from nearfar.family import TrainingParts, TrainingTarget
from nearfar.geometry.depth_curves import encode_depth, preview_depth
from nearfar.geometry.gradient_loss import gradient_loss
from nearfar.geometry.resize import resize
from nearfar.geometry.squares import DepthSquare
from nearfar.models.base import Losses
from nearfar.tokenizers.quantizer import MultiScaleQuantizer, as_map, float32_island

from .config import require_stages
from .network import Conditioned, VarDepthNetwork, new_network
from .sample import Choose, sample_f_hat
from .square import squash_depth

# Losses of VAR-Depth on logits of all scales (docs/nextscale.md section 3).
#
# Shapes: B batch, L tokens of all scales, V codes, C code width, K scales, H W pixels.


def token_weights(sides: Sequence[int], *, balanced: bool) -> Tensor:
    """Weight of every token [L], sum 1.

    balanced: 1 / (p_k sum p_j), so that a scale counts by its side, not by its area; else 1 / L.
    """
    areas = torch.tensor([side * side for side in sides])
    each_K = torch.tensor([1 / (side if balanced else 1) for side in sides])
    weight_L = each_K.repeat_interleave(areas)
    return weight_L / weight_L.sum()


def code_loss(logits_BLV: Tensor, target_BL: Tensor, *, weight_L: Tensor) -> Tensor:
    """Weighted cross-entropy in nats, mean over the batch."""
    each_BL = F.cross_entropy(logits_BLV.mT.float(), target_BL, reduction="none")
    return (each_BL * weight_L).sum(dim=1).mean()


def soft_code_loss(
    logits_BLV: Tensor, sought_BLC: Tensor, *, quantizer: MultiScaleQuantizer, weight_L: Tensor
) -> Tensor:
    """Cross-entropy against q(v) ~ exp(-|z - e_v|^2 / tau): near-equal codes are not punished.

    sought: the vector z a code stands for. tau: mean squared distance to the nearest code.
    """
    codes_VC = quantizer.embedding.weight.float()
    distance_BLV = torch.cdist(sought_BLC.float(), codes_VC).square()
    tau = distance_BLV.amin(dim=-1).mean().clamp_min(1e-6)
    shares_BLV = (-distance_BLV / tau).softmax(dim=-1)
    each_BL = -(shares_BLV * logits_BLV.float().log_softmax(dim=-1)).sum(dim=-1)
    return (each_BL * weight_L).sum(dim=1).mean()


def expected_f_hat(logits_BLV: Tensor, quantizer: MultiScaleQuantizer) -> Tensor:
    """f_hat_K of the mean code at every place, with gradients: [B,C,h,w]."""
    sides = quantizer.config.scales
    mean_BLC = logits_BLV.float().softmax(dim=-1) @ quantizer.embedding.weight.float()
    f_hat_BChw = mean_BLC.new_zeros(len(mean_BLC), mean_BLC.shape[-1], sides[-1], sides[-1])
    for scale, part_BLC in enumerate(mean_BLC.split([side * side for side in sides], dim=1)):
        f_hat_BChw = quantizer.accumulate(f_hat_BChw, as_map(part_BLC), scale=scale)
    return f_hat_BChw


def affine_loss(guess_BHW: Tensor, target_BHW: Tensor, *, valid_BHW: Tensor) -> Tensor:
    """L1 after the scale and shift of least squares, per image, + multi-scale gradient loss.

    The fit has gradients too, and no negative scale (far stays far): a flat or inverted guess is
    compared with the target's mean.
    """
    weight_BHW = valid_BHW.float()
    count_B11 = weight_BHW.sum(dim=(1, 2), keepdim=True).clamp_min(1)

    def mean(x_BHW: Tensor) -> Tensor:
        return (weight_BHW * x_BHW).sum(dim=(1, 2), keepdim=True) / count_B11

    centered_BHW = guess_BHW - mean(guess_BHW)
    wanted_BHW = target_BHW - mean(target_BHW)
    variance_B11 = mean(centered_BHW.square()) + 1e-4
    scale_B11 = (mean(centered_BHW * wanted_BHW) / variance_B11).clamp_min(0)
    fitted_BHW = centered_BHW * scale_B11
    error = (weight_BHW * (fitted_BHW - wanted_BHW).abs()).sum() / weight_BHW.sum().clamp_min(1)
    return error + gradient_loss(fitted_BHW, wanted_BHW, valid_BHW)


# Two ways through all scales in training: the map's own sums, or those of the network's codes.
#
# Shapes: B batch, L tokens of all scales, V codes, C code width, h w feature grid.

RAMP = 0.5  # of the training: until then self-refinement grows (docs/nextscale.md section 3)


class Pass(NamedTuple):
    """logits_BLV of all scales, target_BL: their codes, sought_BLC: the vectors these stand for."""

    logits_BLV: Tensor
    target_BL: Tensor
    sought_BLC: Tensor


def ramped_share(share: float, *, done: float) -> float:
    """Share of batches on own codes when `done` (0..1) of the training is; all of it without grad.

    So held-out losses stay comparable over a training.
    """
    return share * (min(1.0, done / RAMP) if torch.is_grad_enabled() else 1.0)


def teacher_pass(network: VarDepthNetwork, given: Conditioned, f_BChw: Tensor) -> Pass:
    """All scales at once on the map's own partial sums."""
    quantizer = network.tokenizer.quantize
    indices, sums = quantizer.encode(f_BChw)
    inputs = [quantizer.inputs_of_next_scale(x, scale=k) for k, x in enumerate(sums[:-1])]
    before = [torch.zeros_like(f_BChw), *sums[:-1]]
    sought = [_vectors(network, f_BChw - x, scale=k) for k, x in enumerate(before)]
    return Pass(network.all_logits(inputs, given), torch.cat(indices, 1), torch.cat(sought, 1))


def own_pass(network: VarDepthNetwork, given: Conditioned, f_BChw: Tensor) -> Pass:
    """Scale after scale on own greedy codes, no gradient through the choice."""
    quantizer = network.tokenizer.quantize
    f_hat_BChw, inputs_BChw, u_BChw = torch.zeros_like(f_BChw), None, None
    logits, sought = [], []
    for scale in range(len(network.config.tokenizer.scales)):
        if scale > 0:
            inputs_BChw = quantizer.inputs_of_next_scale(f_hat_BChw, scale=scale - 1)
        sought.append(_vectors(network, f_BChw - f_hat_BChw, scale=scale))
        said_BLV, u_BChw = network.step(inputs_BChw, given, scale=scale, u_BChw=u_BChw)
        logits.append(said_BLV)
        with torch.no_grad():
            codes_BChw = as_map(quantizer.embed(said_BLV.argmax(dim=-1)))
            f_hat_BChw = quantizer.accumulate(f_hat_BChw, codes_BChw, scale=scale)
    sought_BLC = torch.cat(sought, dim=1)
    return Pass(torch.cat(logits, dim=1), quantizer.nearest(sought_BLC), sought_BLC)


def _vectors(network: VarDepthNetwork, residual_BChw: Tensor, *, scale: int) -> Tensor:
    """The vectors [B,p*p,C] that a scale's codes stand for."""
    quantizer = network.tokenizer.quantize
    if scale == 0:
        return residual_BChw.mean(dim=(2, 3))[:, None]
    map_BChw = quantizer.inputs_of_next_scale(residual_BChw, scale=scale - 1)
    return map_BChw.flatten(2).transpose(1, 2)


DEPTH_SHARE = 0.25  # of batches that pay for a decoder pass


class VarDepthObjective:
    """Losses of a batch.

    balanced: scales count by their side, not by their area. condition_dropout: share of samples
    without a photo. self_refinement: share of batches on own codes, growing from 0 over the first
    half if the trainer tells `at` how far it is. soft_targets: near codes count too.
    depth_weight: of the affine-invariant loss in pixels, through the frozen decoder, on a quarter
    of the batches. feature_weight: of the error of the expected f_hat.
    """

    def __init__(
        self,
        network: VarDepthNetwork,
        encoder: SemanticEncoder | None = None,
        *,
        balanced: bool = True,
        condition_dropout: float = 0.1,
        self_refinement: float = 0.0,
        soft_targets: bool = False,
        feature_weight: float = 0.0,
        depth_weight: float = 0.0,
    ) -> None:
        shares = {"self_refinement": self_refinement, "condition_dropout": condition_dropout}
        for name, share in shares.items():
            if not 0 <= share <= 1:
                raise ConfigError(name, f"{share} is not within 0..1")
        if min(feature_weight, depth_weight) < 0:
            raise ConfigError("weights", f"feature {feature_weight}, depth {depth_weight}")
        if self_refinement and network.config.is_causal:
            raise ConfigError("self_refinement", "the scales of this network see each other")
        require_stages(network.config)
        self.network, self.encoder = network, encoder
        self.balanced, self.soft_targets = balanced, soft_targets
        self.condition_dropout = condition_dropout if network.config.has_null else 0.0
        self.self_refinement, self.done = self_refinement, 1.0
        self.feature_weight, self.depth_weight = feature_weight, depth_weight

    def at(self, done: float) -> None:
        """Told by the trainer before every step: share 0..1 of the training that is done."""
        self.done = done

    def __call__(self, batch: DepthBatch, *, generator: torch.Generator) -> Losses:
        """Losses of photos in 0..1 and maps in metres."""
        image_B3HW, depth_BHW, valid_BHW, sky_BHW, _ = batch
        config, device = self.network.config, image_B3HW.device
        square = squash_depth(depth_BHW, valid_BHW=valid_BHW, sky_BHW=sky_BHW, config=config)
        # drawn whether used or not, so that options do not shift the stream
        drawn = torch.rand(len(image_B3HW) + 2, generator=generator, device=generator.device)
        refine, in_pixels, *drops = drawn.tolist()
        keep_B = None
        if self.condition_dropout > 0 and torch.is_grad_enabled():
            keep_B = torch.tensor(drops, device=device) >= self.condition_dropout
        with torch.no_grad(), float32_island(image_B3HW):
            channels = config.tokenizer.image_channels
            f_BChw = self.network.tokenizer.features(square.image_B1HW.expand(-1, channels, -1, -1))
        given = self.network.condition_on(image_B3HW, encoder=self.encoder, keep_B=keep_B)
        is_own = refine < ramped_share(self.self_refinement, done=self.done)
        found = (own_pass if is_own else teacher_pass)(self.network, given, f_BChw)
        return self._losses(found, f_BChw, square, in_pixels < DEPTH_SHARE)

    def _losses(self, found: Pass, f_BChw: Tensor, square: DepthSquare, in_pixels: bool) -> Losses:
        quantizer, vq = self.network.tokenizer.quantize, self.network.config.tokenizer
        weight_L = token_weights(vq.scales, balanced=self.balanced).to(f_BChw.device)
        loss = code_loss(found.logits_BLV, found.target_BL, weight_L=weight_L)
        right = (found.logits_BLV.argmax(dim=-1) == found.target_BL).float().mean()
        parts = {"cross_entropy": loss.detach(), "accuracy": right.detach()}
        if self.soft_targets:
            loss = soft_code_loss(
                found.logits_BLV, found.sought_BLC, quantizer=quantizer, weight_L=weight_L
            )
            parts["soft_cross_entropy"] = loss.detach()
        in_pixels = in_pixels and self.depth_weight > 0
        if not in_pixels and self.feature_weight == 0:
            return Losses(loss, parts)
        f_hat_BChw = expected_f_hat(found.logits_BLV, quantizer)
        if self.feature_weight > 0:
            feature = (f_hat_BChw - f_BChw).square().mean() / f_BChw.var().clamp_min(1e-6)
            loss, parts["feature"] = loss + self.feature_weight * feature, feature.detach()
        if in_pixels:
            grey_BHW = self.network.tokenizer.reconstruct(f_hat_BChw).mean(dim=1)
            depth = affine_loss(grey_BHW, square.image_B1HW[:, 0], valid_BHW=square.known_BHW)
            loss, parts["depth"] = loss + self.depth_weight * depth, depth.detach()
        return Losses(loss, parts)


def target(parts: TrainingParts) -> TrainingTarget:
    """The first stage on a frozen tokenizer and, by preset, a frozen encoder."""
    config = parts.config
    encoder = parts.frozen_encoder() if config.photo == "encoder" else None
    network = new_network(config, generator=parts.generator())
    parts.put_tokenizer(network.tokenizer, own_scales=True)
    if network.upsampler is not None:
        network.upsampler.requires_grad_(False)  # the second stage is trained apart
    network.to(parts.device)
    options = parts.options(VarDepthObjective)

    def preview(image_B3HW: Tensor, generator: torch.Generator, steps: int) -> Tensor:
        given = network.condition_on(image_B3HW, encoder=encoder)
        generators = [generator] * len(image_B3HW)
        choose = Choose(mode="expected")  # draws nothing
        f_hat_BChw = sample_f_hat(network, given, choose=choose, generators=generators)
        return preview_depth(
            network.tokenizer.decode(f_hat_BChw),
            curve=config.curve,
            size_hw=(image_B3HW.shape[-2], image_B3HW.shape[-1]),
        )

    objective = VarDepthObjective(network, encoder, **options)
    return TrainingTarget(
        network=network,
        objective=objective,
        preview=preview,
        family="var_depth",
        preset=parts.preset,
        encoder="" if encoder is None else encoder.name,
        encoder_sha256="" if encoder is None else parts.encoder_sha256(),
        on_progress=objective.at,
    )


# What the second stage learns: depth at pixel size from coarse depth and the photo
# (docs/nextscale.md sections 3, 8.3).
#
# L = L1 + 0.5 MSE + gradient_weight * multi-scale gradient loss of images in -1..1. Coarse maps are
# the truth made coarse (one factor k of 2..8 per batch, bilinear down and up, noise 0.02 per pixel
# and 0.03 per sample), or, for own_share of the batches, what the first stage says of the photo
# (mean codes, no gradient). Released code: the first kind only, gradient_weight 0, and timesteps
# drawn from 0..999 that mean nothing; here they are drawn for the released network alone.
# Shapes: B batch, H W pixels.

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

    def __call__(self, batch: DepthBatch, *, generator: torch.Generator) -> Losses:
        """Losses of photos in 0..1 and maps in metres, over pixels with depth or sky."""
        image_B3HW, depth_BHW, valid_BHW, sky_BHW, _ = batch
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
            given = network.condition_on(image_B3HW, encoder=self.encoder)
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
