"""What the video network learns: velocity of whole clips (docs/ppd.md sections 5, 6, 11).

Training of PPVD (arXiv 2601.05246) was never released; this is the image objective with what a
window needs: one range (quantiles) for all frames of a clip, one time for all frames, noise of its
own for each. Optional, ours: one noise for all frames of a clip (`shared_noise`); and the temporal
loss, the same as the gradient loss in time: mean |difference of e| between frames that follow each
other, e = error of the clean estimate, where both count.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from nearfar.batch import ClipBatch
from nearfar.encoders.base import ClipEncoder, FrameByFrame
from nearfar.errors import ConfigError
from nearfar.family import TrainingParts, TrainingTarget
from nearfar.geometry.gradient_loss import gradient_loss
from nearfar.models.base import Losses
from nearfar.sampling.flow_matching import add_noise, clean_from_velocity, velocity_target
from nearfar.sampling.timesteps import logit_normal_timesteps, ppd_timesteps

from .objective import Target, log_depth_target
from .sample import sample_depth
from .video_network import new_video_network
from .video_predictor import draw_window_noise


class PPDVideoObjective:
    """Target, time draw and loss on clips [B,T,...]; options as in `PPDObjective`."""

    def __init__(
        self,
        network: nn.Module,
        encoder: ClipEncoder,
        *,
        gradient_weight: float,
        temporal_weight: float = 0.0,
        time_mean: float = 0.0,
        start_share: float = 0.0,
        shared_noise: bool = False,
    ) -> None:
        if min(gradient_weight, temporal_weight) < 0:
            raise ConfigError(
                "gradient_weight, temporal_weight",
                f"{gradient_weight}, {temporal_weight}: negative",
            )
        if not 0 <= start_share <= 1:
            raise ConfigError("start_share", f"{start_share} is not within 0..1")
        self.network = network
        self.encoder = encoder
        self.gradient_weight = gradient_weight
        self.temporal_weight = temporal_weight
        self.time_mean = time_mean
        self.start_share = start_share
        self.shared_noise = shared_noise

    def __call__(self, batch: ClipBatch, *, generator: torch.Generator) -> Losses:
        """Losses of clips in metres."""
        image_BT3HW, depth_BTHW, valid_BTHW, sky_BTHW, _ = batch
        B, T = image_BT3HW.shape[:2]
        device = image_BT3HW.device
        target = clip_target(depth_BTHW, valid_BTHW=valid_BTHW, sky_BTHW=sky_BTHW)
        times = {"mean": self.time_mean, "start_share": self.start_share}
        timestep_B = logit_normal_timesteps(B, generator=generator, **times)
        timestep_B = timestep_B.repeat_interleave(T).to(device, non_blocking=True)
        noise_B1HW = clip_noise(target.clean_B1HW, T, shared=self.shared_noise, generator=generator)
        with torch.no_grad():
            semantics_BTLD = self.encoder.clip_semantics(image_BT3HW)
        return clip_losses(
            self.network,
            image_BT3HW,
            semantics_BTLD,
            target=target,
            noise_B1HW=noise_B1HW,
            timestep_B=timestep_B,
            gradient_weight=self.gradient_weight,
            temporal_weight=self.temporal_weight,
        )


def clip_losses(
    network: nn.Module,
    image_BT3HW: Tensor,
    semantics_BTLD: Tensor,
    *,
    target: Target,
    noise_B1HW: Tensor,
    timestep_B: Tensor,
    gradient_weight: float,
    temporal_weight: float,
) -> Losses:
    """One forward of all clips: total, and parts `velocity`, `gradient`, `temporal`.

    Target, noise and times are of all frames, clip after clip.
    """
    T = image_BT3HW.shape[1]
    clean_B1HW, usable_B1HW = target
    x_B1HW = add_noise(clean_B1HW, noise_B1HW, timestep_B=timestep_B)
    predict = partial(network, timestep=timestep_B, frames=T)
    velocity_B1HW = predict(x_B1HW, image_BT3HW.flatten(0, 1), semantics_BTLD.flatten(0, 1))
    error_B1HW = velocity_B1HW - velocity_target(clean_B1HW, noise_B1HW)
    total = (usable_B1HW * error_B1HW.square()).sum() / (usable_B1HW.sum() + 1e-6)
    parts = {"velocity": total.detach()}
    guess_B1HW = clean_from_velocity(x_B1HW, velocity_B1HW, timestep_B=timestep_B)
    if gradient_weight > 0:
        gradient = gradient_loss(guess_B1HW[:, 0], clean_B1HW[:, 0], usable_B1HW[:, 0])
        parts["gradient"] = gradient.detach()
        total = total + gradient_weight * gradient
    if temporal_weight > 0:
        temporal = temporal_loss(guess_B1HW - clean_B1HW, usable_B1HW, frames=T)
        parts["temporal"] = temporal.detach()
        total = total + temporal_weight * temporal
    return Losses(total, parts)


def clip_target(depth_BTHW: Tensor, *, valid_BTHW: Tensor, sky_BTHW: Tensor) -> Target:
    """The target of clips in metres, frames one after the other; one range for each clip."""
    T = depth_BTHW.shape[1]
    # frames one below the other are one tall map with one pair of quantiles
    maps = (depth_BTHW.flatten(1, 2), valid_BTHW.flatten(1, 2), sky_BTHW.flatten(1, 2))
    tall = log_depth_target(maps[0], valid_BHW=maps[1], sky_BHW=maps[2])
    clean_B1HW, usable_B1HW = (
        map_B1HW.unflatten(2, (T, -1)).transpose(1, 2).flatten(0, 1) for map_B1HW in tall
    )
    return Target(clean_B1HW, usable_B1HW)


def clip_noise(
    like_B1HW: Tensor, frames: int, *, shared: bool, generator: torch.Generator
) -> Tensor:
    """Standard normal in the shape of the frames of clips: of their own, or one for each clip."""
    B, *rest = like_B1HW.shape
    drawn = B // frames if shared else B
    noise_B1HW = torch.randn(drawn, *rest, generator=generator, device=generator.device)
    noise_B1HW = noise_B1HW.to(like_B1HW.device, non_blocking=True)
    return noise_B1HW.repeat_interleave(frames, dim=0) if shared else noise_B1HW


def temporal_loss(error_B1HW: Tensor, usable_B1HW: Tensor, *, frames: int) -> Tensor:
    """Mean |change of the error| from frame to frame where both count; 0 for single frames."""
    error_BTHW = error_B1HW[:, 0].unflatten(0, (-1, frames))
    usable_BTHW = usable_B1HW[:, 0].unflatten(0, (-1, frames))
    both_BTHW = usable_BTHW[:, 1:] & usable_BTHW[:, :-1]
    return (both_BTHW * error_BTHW.diff(dim=1).abs()).sum() / both_BTHW.sum().clamp_min(1)


def video_target(parts: TrainingParts) -> TrainingTarget:
    """PPD over windows; with train.init_from = "ppd-tiny" it starts as the image network."""
    config = parts.config
    loaded = parts.frozen_encoder()
    encoder: ClipEncoder = loaded if isinstance(loaded, ClipEncoder) else FrameByFrame(loaded)
    parts.require_width(encoder.width, config.semantics_width)
    generator = parts.generator()
    network = new_video_network(config, generator=generator).to(parts.device)
    options: dict[str, Any] = {"gradient_weight": 0.0, "shared_noise": config.shared_noise}
    options |= parts.options(PPDVideoObjective)
    if options["shared_noise"] != config.shared_noise:
        raise ConfigError(
            "train.objective.shared_noise",
            f"{options['shared_noise']}, preset {parts.preset} predicts otherwise",
            "Leave it out: the preset says it",
        )

    def preview(image_BT3HW: Tensor, generator: torch.Generator, steps: int) -> Tensor:
        semantics_BTLD = encoder.clip_semantics(image_BT3HW)
        depths = []
        for image_T3HW, semantics_TLD in zip(image_BT3HW, semantics_BTLD, strict=True):
            noise_T1HW = draw_window_noise(
                image_T3HW, shared=config.shared_noise, generator=generator
            )
            latent_T1HW = sample_depth(
                network,
                image_T3HW,
                semantics_TLD,
                noise_T1HW.to(parts.device),
                ppd_timesteps(steps),
            )
            depths.append(latent_T1HW[:, 0] + 0.5)
        return torch.stack(depths)

    return TrainingTarget(
        network=network,
        objective=PPDVideoObjective(network, encoder, **options),
        preview=preview,
        family="ppd_video",
        preset=parts.preset,
        encoder=encoder.name,
        encoder_sha256=parts.encoder_sha256(),
    )
