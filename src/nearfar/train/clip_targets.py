"""The target of the tiny video encoder, which learns from clips; `model.encoder` names its stem."""

from __future__ import annotations

import torch
from torch import Tensor

from nearfar.errors import ConfigError
from nearfar.family import TrainingTarget
from nearfar.layers.initial import draw_weights

from .config import Recipe
from .frozen_parts import encoder_sha256, frozen_encoder
from .recipe_parts import checked_options, preset_of


def tiny_video_encoder(recipe: Recipe, device: torch.device) -> TrainingTarget:
    """Blocks across frames on a frozen tiny encoder, which starts as that encoder."""
    from nearfar.encoders.tiny import TinyEncoder
    from nearfar.encoders.tiny_video import PRESETS, TinyVideoEncoder, start_from_stem
    from nearfar.encoders.tiny_video_objective import TinyVideoObjective

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

    return TrainingTarget(
        network=network,
        objective=TinyVideoObjective(network, **options),
        preview=preview,
        family="tiny_video_encoder",
        preset=recipe.model.preset,
        encoder=network.name,
        encoder_sha256=encoder_sha256(recipe.model.encoder),  # of the stem
    )
