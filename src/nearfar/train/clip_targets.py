"""Targets that learn from clips: the tiny video encoder, and PPD's video network.

`model.encoder` names the stem of the first (a tiny encoder), and what the second stands on: a clip
encoder, or one for photos, which is then used frame by frame.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from nearfar.errors import ConfigError

from .config import Recipe
from .frozen_parts import encoder_sha256, frozen_encoder, require_width

if TYPE_CHECKING:
    from .targets import Target


def tiny_video_encoder(recipe: Recipe, device: torch.device) -> Target:
    """Blocks across frames on a frozen tiny encoder, which starts as that encoder."""
    from nearfar.encoders.tiny import TinyEncoder
    from nearfar.encoders.tiny_video import PRESETS, TinyVideoEncoder, start_from_stem
    from nearfar.encoders.tiny_video_objective import TinyVideoObjective

    from .targets import Target, checked_options, draw_weights, preset_of

    config = preset_of(PRESETS, recipe)
    stem = frozen_encoder(recipe, torch.device("cpu"))
    if not isinstance(stem, TinyEncoder) or stem.config != config.stem:
        raise ConfigError(
            "model.encoder",
            f"{recipe.model.encoder} is not the stem of preset {recipe.model.preset}",
            'Name a tiny encoder of that size: encoder = "tiny-encoder"',
        )
    network = TinyVideoEncoder(config)
    generator = torch.Generator().manual_seed(recipe.train.seed)
    draw_weights(network, generator=generator)
    start_from_stem(network, stem.state_dict(), generator=generator)
    network.to(device)
    options = checked_options(TinyVideoObjective, recipe.train.objective)

    def preview(image_BT3HW: Tensor, generator: torch.Generator, steps: int) -> Tensor:
        depth_BHW = network.clip_both(image_BT3HW).guess.depth_BHW
        return torch.log1p(depth_BHW).unflatten(0, image_BT3HW.shape[:2])

    return Target(
        network=network,
        objective=TinyVideoObjective(network, **options),
        preview=preview,
        family="tiny_video_encoder",
        preset=recipe.model.preset,
        encoder=network.name,
        encoder_sha256=encoder_sha256(recipe.model.encoder),  # of the stem
    )


def ppd_video(recipe: Recipe, device: torch.device) -> Target:
    """PPD over windows; with train.init_from = "ppd-tiny" it starts as the image network."""
    from nearfar.encoders.base import ClipEncoder, FrameByFrame
    from nearfar.models.ppd.presets import VIDEO_PRESETS
    from nearfar.models.ppd.sample import sample_depth
    from nearfar.models.ppd.video_network import new_video_network
    from nearfar.models.ppd.video_objective import PPDVideoObjective
    from nearfar.models.ppd.video_predictor import draw_window_noise
    from nearfar.sampling.timesteps import ppd_timesteps

    from .targets import Target, checked_options, preset_of

    config = preset_of(VIDEO_PRESETS, recipe)
    loaded = frozen_encoder(recipe, device)
    encoder: ClipEncoder = loaded if isinstance(loaded, ClipEncoder) else FrameByFrame(loaded)
    require_width(encoder.width, config.semantics_width, recipe)
    generator = torch.Generator().manual_seed(recipe.train.seed)
    network = new_video_network(config, generator=generator).to(device)
    options: dict[str, Any] = {"gradient_weight": 0.0, "shared_noise": config.shared_noise}
    options |= checked_options(PPDVideoObjective, recipe.train.objective)
    if options["shared_noise"] != config.shared_noise:
        raise ConfigError(
            "train.objective.shared_noise",
            f"{options['shared_noise']}, preset {recipe.model.preset} predicts otherwise",
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
                network, image_T3HW, semantics_TLD, noise_T1HW.to(device), ppd_timesteps(steps)
            )
            depths.append(latent_T1HW[:, 0] + 0.5)
        return torch.stack(depths)

    return Target(
        network=network,
        objective=PPDVideoObjective(network, encoder, **options),
        preview=preview,
        family="ppd_video",
        preset=recipe.model.preset,
        encoder=encoder.name,
        encoder_sha256=encoder_sha256(recipe.model.encoder),
    )
