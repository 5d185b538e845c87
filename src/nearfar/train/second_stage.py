"""The target of VAR-Depth's second stage: its first stage comes from weights and stays.

`train.init_from` names the weights of the first stage; with train.init_strict = false the second
starts fresh.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from .config import Recipe
from .frozen_parts import encoder_sha256, frozen_encoder, put_tokenizer

if TYPE_CHECKING:
    from .targets import Target

log = logging.getLogger(__name__)


def var_depth_upsampler(recipe: Recipe, device: torch.device) -> Target:
    """A whole VAR-Depth network of which only the second stage is trained."""
    from nearfar.geometry.depth_curves import decode_depth
    from nearfar.geometry.resize import resize
    from nearfar.models.var_depth.initial import new_network
    from nearfar.models.var_depth.presets import PRESETS
    from nearfar.models.var_depth.upsampler_objective import UpsamplerObjective

    from .targets import Target, checked_options, preset_of

    config = preset_of(PRESETS, recipe)
    encoder = frozen_encoder(recipe, device) if config.photo == "encoder" else None
    network = new_network(config, generator=torch.Generator().manual_seed(recipe.train.seed))
    options = checked_options(UpsamplerObjective, recipe.train.objective)
    objective = UpsamplerObjective(network, encoder, **options)
    put_tokenizer(network.tokenizer, recipe.model.tokenizer, own_scales=True)
    if not recipe.train.init_from and objective.own_share > 0:
        log.warning("train.init_from is empty: the second stage learns from an untrained first")
    network.requires_grad_(False)
    objective.upsampler.requires_grad_(True)
    network.to(device)

    def preview(image_B3HW: Tensor, generator: torch.Generator, steps: int) -> Tensor:
        photo_hw = (image_B3HW.shape[-2], image_B3HW.shape[-1])
        size_hw = objective.upsampler.size_for(photo_hw)
        coarse_B1HW = objective.first_stage(image_B3HW, size_hw)
        photo_B3HW = resize(image_B3HW, size_hw, method="area").clamp(0, 1)
        times_B = torch.zeros(len(image_B3HW), device=image_B3HW.device)
        fine_B1HW = objective.upsampler(2 * photo_B3HW - 1, coarse_B1HW, times_B).clamp(-1, 1)
        depth_BHW, kind = decode_depth(fine_B1HW, curve=config.curve)
        depth_BHW = resize(depth_BHW, photo_hw, method="bilinear")
        return depth_BHW if kind == "affine_log_depth" else torch.log1p(10 * depth_BHW)

    return Target(
        network=network,
        objective=objective,
        preview=preview,
        family="var_depth",
        preset=recipe.model.preset,
        encoder="" if encoder is None else encoder.name,
        encoder_sha256="" if encoder is None else encoder_sha256(recipe.model.encoder),
    )
