"""The target of a depth tokenizer: it sees the depth itself, so it is shown what it says back.

Held-out AbsRel and delta1 of that are the ceiling of every model on top; "used" and "perplexity"
in the log are its codebook's, "revived" the dead codes that were moved.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from torch import Tensor

from nearfar.family import TrainingTarget
from nearfar.layers.initial import draw_weights

from .config import Recipe
from .recipe_parts import checked_options, preset_of


def depth_tokenizer(recipe: Recipe, device: torch.device) -> TrainingTarget:
    """A fresh tokenizer with a drawn codebook, and its losses."""
    from nearfar.geometry.depth_curves import CURVES, decode_metres, depth_image, encode_depth
    from nearfar.geometry.resize import resize
    from nearfar.tokenizers.objective import TokenizerObjective
    from nearfar.tokenizers.presets import PRESETS
    from nearfar.tokenizers.vqvae import VQVAE, draw_codebook

    network = VQVAE(preset_of(PRESETS, recipe))
    generator = torch.Generator().manual_seed(recipe.train.seed)
    draw_weights(network, generator=generator)
    draw_codebook(network, generator=generator)
    network.to(device)
    options = checked_options(TokenizerObjective, recipe.train.objective)
    curves = {curve: partial(depth_image, curve=curve) for curve in CURVES}
    objective: Any = TokenizerObjective(network, curves=curves, **options)
    size, channels = (network.config.image_size,) * 2, network.config.image_channels

    def echo(depth_BHW: Tensor, valid_BHW: Tensor) -> Tensor:
        photo_hw = (depth_BHW.shape[-2], depth_BHW.shape[-1])
        small_BHW, known_BHW = (resize(x, size, method="nearest") for x in (depth_BHW, valid_BHW))
        image_B1HW, stats = encode_depth(small_BHW, known_BHW, curve=objective.curve)
        sums = network.encode(image_B1HW.expand(-1, channels, -1, -1)).partial_sums
        said_B1HW = network.decode(sums[-1]).mean(dim=1, keepdim=True)
        depth_BHW = decode_metres(said_B1HW, stats, curve=objective.curve)
        return torch.log1p(resize(depth_BHW, photo_hw, method="bilinear"))

    return TrainingTarget(
        network=network,
        objective=objective,
        preview=None,
        echo=echo,
        family="depth_tokenizer",
        preset=recipe.model.preset,
    )
