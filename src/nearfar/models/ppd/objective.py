"""What PPD learns: velocity of the log-depth map (arXiv 2510.07316; docs/ppd.md sections 5, 6).

velocity loss: sum(m (v - (noise - clean))^2) / (sum m + 1e-6) over the whole batch.
gradient loss: on clean_t = x_t - (t/1000) v against clean, e = m (clean_t - clean): for strides 1,
2, 4, 8 the sum of |differences of e| between neighbors that both count, divided by sum m.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from nearfar.batch import DepthBatch
from nearfar.encoders.base import JointEncoder, SemanticEncoder
from nearfar.errors import ConfigError
from nearfar.family import TrainingParts, TrainingTarget
from nearfar.geometry.depth_space import normalize_log_depth
from nearfar.geometry.gradient_loss import gradient_loss
from nearfar.models.base import Losses
from nearfar.sampling.flow_matching import add_noise, clean_from_velocity, velocity_target
from nearfar.sampling.timesteps import logit_normal_timesteps, ppd_timesteps

from .anchor import anchor_of, anchored_target
from .network import PPDNetwork, new_network, velocity_to
from .sample import sample_clean_map, sample_depth

SKY_METRES = 81.0  # sky is taught as valid depth just beyond the farthest surface that counts
STATISTICS_METRES = 80.0


class Target(NamedTuple):
    """clean_B1HW: depth latent in -1..0.5; usable_B1HW: which pixels count (depth or sky)."""

    clean_B1HW: Tensor
    usable_B1HW: Tensor


class PPDObjective:
    """Target, time draw and loss of PPD; `gradient_weight` is 0 first, 0.2 in fine-tuning.

    `time_mean` and `start_share` shape the times (sampling.timesteps); the paper's are 0 and 0.
    """

    def __init__(
        self,
        network: nn.Module,
        encoder: SemanticEncoder,
        *,
        gradient_weight: float,
        time_mean: float = 0.0,
        start_share: float = 0.0,
    ) -> None:
        if gradient_weight < 0:
            raise ConfigError("gradient_weight", f"{gradient_weight} is negative")
        if not 0 <= start_share <= 1:
            raise ConfigError("start_share", f"{start_share} is not within 0..1")
        self.network = network
        self.encoder = encoder
        self.gradient_weight = gradient_weight
        self.time_mean = time_mean
        self.start_share = start_share

    def __call__(self, batch: DepthBatch, *, generator: torch.Generator) -> Losses:
        """Losses over pixels with depth or sky (so sparse depth is welcome), maps in metres."""
        image_B3HW, depth_BHW, valid_BHW, sky_BHW, _ = batch
        target = log_depth_target(depth_BHW, valid_BHW=valid_BHW, sky_BHW=sky_BHW)
        times = {"mean": self.time_mean, "start_share": self.start_share}
        timestep_B = logit_normal_timesteps(len(image_B3HW), generator=generator, **times)
        shape, device = target.clean_B1HW.shape, image_B3HW.device
        noise_B1HW = torch.randn(shape, generator=generator, device=generator.device)
        with torch.no_grad():
            semantics_BLD = self.encoder.semantics(image_B3HW)
        return flow_losses(
            self.network,
            image_B3HW,
            semantics_BLD,
            target=target,
            noise_B1HW=noise_B1HW.to(device, non_blocking=True),
            timestep_B=timestep_B.to(device, non_blocking=True),
            gradient_weight=self.gradient_weight,
        )


def log_depth_target(depth_BHW: Tensor, *, valid_BHW: Tensor, sky_BHW: Tensor) -> Target:
    """The target of maps in metres; sky counts as known depth of 81 m."""
    depth_BHW = torch.where(sky_BHW, SKY_METRES, depth_BHW)
    usable_BHW = valid_BHW | sky_BHW
    stats_BHW = usable_BHW & (depth_BHW < STATISTICS_METRES)
    clean_BHW = normalize_log_depth(depth_BHW, usable_BHW, stats_BHW).target_BHW
    return Target(clean_BHW[:, None], usable_BHW[:, None])


def flow_losses(
    network: nn.Module,
    image_B3HW: Tensor,
    semantics_BLD: Tensor,
    *,
    target: Target,
    noise_B1HW: Tensor,
    timestep_B: Tensor,
    gradient_weight: float,
) -> Losses:
    """One forward at the given times and noise: total and parts `velocity`, `gradient`."""
    clean_B1HW, usable_B1HW = target
    # 1. the map on its way to noise, and where the network says it is going [B,1,H,W]
    x_B1HW = add_noise(clean_B1HW, noise_B1HW, timestep_B=timestep_B)
    velocity_B1HW = network(x_B1HW, image_B3HW, semantics_BLD, timestep=timestep_B)
    # 2. mean square of its error over pixels that count
    error_B1HW = velocity_B1HW - velocity_target(clean_B1HW, noise_B1HW)
    velocity = (usable_B1HW * error_B1HW.square()).sum() / (usable_B1HW.sum() + 1e-6)
    if gradient_weight == 0:
        return Losses(velocity, {"velocity": velocity.detach()})
    # 3. the clean map this would lead to, compared in its edges
    guess_B1HW = clean_from_velocity(x_B1HW, velocity_B1HW, timestep_B=timestep_B)
    gradient = gradient_loss(guess_B1HW[:, 0], clean_B1HW[:, 0], usable_B1HW[:, 0])
    parts = {"velocity": velocity.detach(), "gradient": gradient.detach()}
    return Losses(velocity + gradient_weight * gradient, parts)


def image_target(parts: TrainingParts) -> TrainingTarget:
    """The image network on a frozen encoder, and how it is trained."""
    encoder = parts.frozen_encoder()
    config = parts.config
    parts.require_width(encoder.width, config.semantics_width)
    generator = parts.generator()
    network = new_network(config, generator=generator).to(parts.device)
    is_clean = config.prediction == "clean"
    kind: Any = PPDCorrectionObjective if is_clean else PPDObjective
    options = {} if is_clean else {"gradient_weight": 0.0}
    options |= parts.options(kind)

    def preview(image_B3HW: Tensor, generator: torch.Generator, steps: int) -> Tensor:
        B, _, H, W = image_B3HW.shape
        noise_B1HW = torch.randn(B, 1, H, W, generator=generator, device=generator.device)
        if is_clean:
            semantics_BLD, guess = encoder.both(image_B3HW)
            anchor = anchor_of(guess, image_B3HW)
            given = (image_B3HW, semantics_BLD, anchor.map_B1HW, noise_B1HW.to(parts.device))
            found = sample_clean_map(network, *given, ppd_timesteps(steps))
            return anchor.log_depth(found.clean_B1HW)[:, 0]
        semantics_BLD = encoder.semantics(image_B3HW)
        latent_B1HW = sample_depth(
            network,
            image_B3HW,
            semantics_BLD,
            noise_B1HW.to(parts.device),
            ppd_timesteps(steps),
        )
        return latent_B1HW[:, 0] + 0.5

    return TrainingTarget(
        network=network,
        objective=kind(network, encoder, **options),
        preview=preview,
        family="ppd",
        preset=parts.preset,
        encoder=encoder.name,
        encoder_sha256=parts.encoder_sha256(),
    )


class PPDCorrectionObjective:
    """What a network with prediction "clean" learns: the true map in its encoder's frame.

    velocity: the loss of PPD on the velocity that the clean map implies. clean: mean |error| of the
    map itself, whose optimum at an edge is one side or the other, where a square would take the
    middle. gradient: multi-scale differences of that error. spread: the log-likelihood of a Laplace
    distribution, |error| / b + ln b, which teaches b and leaves the map alone.
    """

    def __init__(
        self,
        network: PPDNetwork,
        encoder: JointEncoder,
        *,
        velocity_weight: float = 0.0,
        clean_weight: float = 1.0,
        gradient_weight: float = 0.5,
        spread_weight: float = 0.05,
        time_mean: float = 0.6,
        start_share: float = 0.3,
    ) -> None:
        if min(velocity_weight, clean_weight, gradient_weight, spread_weight) < 0:
            raise ConfigError("PPDCorrectionObjective", "a weight is negative")
        self.network, self.encoder = network, encoder
        self.velocity_weight = velocity_weight
        self.clean_weight, self.gradient_weight = clean_weight, gradient_weight
        self.spread_weight = spread_weight
        self.time_mean, self.start_share = time_mean, start_share

    def __call__(self, batch: DepthBatch, *, generator: torch.Generator) -> Losses:
        """Losses over pixels with depth or sky, maps in metres."""
        image_B3HW = batch.image_B3HW
        # 1. What the encoder knows, and the truth in its frame.
        with torch.no_grad():
            semantics_BLD, guess = self.encoder.both(image_B3HW)
        anchor = anchor_of(guess, image_B3HW)
        clean_B1HW, usable_B1HW = anchored_target(
            batch.depth_BHW, anchor, valid_BHW=batch.valid_BHW, sky_BHW=batch.sky_BHW
        )
        # 2. A point on the way from noise to it.
        timestep_B = logit_normal_timesteps(
            len(image_B3HW), generator=generator, mean=self.time_mean, start_share=self.start_share
        ).to(image_B3HW.device)
        shape = clean_B1HW.shape
        noise_B1HW = torch.randn(shape, generator=generator, device=generator.device)
        noise_B1HW = noise_B1HW.to(image_B3HW.device)
        x_B1HW = add_noise(clean_B1HW, noise_B1HW, timestep_B=timestep_B)
        # 3. The network's clean map there, and its errors.
        found = self.network.clean_map(
            x_B1HW, image_B3HW, semantics_BLD, timestep=timestep_B, anchor_B1HW=anchor.map_B1HW
        )
        count = usable_B1HW.sum() + 1e-6
        velocity_B1HW = velocity_to(found.clean_B1HW, x_B1HW, timestep_B)
        error_B1HW = velocity_B1HW - velocity_target(clean_B1HW, noise_B1HW)
        velocity = (usable_B1HW * error_B1HW.square()).sum() / count
        wrong_B1HW = (found.clean_B1HW - clean_B1HW).abs()
        clean = (usable_B1HW * wrong_B1HW).sum() / count
        gradient = gradient_loss(found.clean_B1HW[:, 0], clean_B1HW[:, 0], usable_B1HW[:, 0])
        log_b_B1HW = found.log_spread_B1HW
        unlikely_B1HW = wrong_B1HW.detach() * torch.exp(-log_b_B1HW) + log_b_B1HW
        spread = (usable_B1HW * unlikely_B1HW).sum() / count
        total = self.velocity_weight * velocity + self.clean_weight * clean
        total = total + self.gradient_weight * gradient + self.spread_weight * spread
        parts = {"velocity": velocity, "clean": clean, "gradient": gradient, "spread": spread}
        return Losses(total, {name: part.detach() for name, part in parts.items()})
