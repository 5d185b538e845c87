"""What a recipe gives the network it trains: preset, options, and the frozen parts it names."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any, get_type_hints

import torch
from torch import nn

from nearfar.errors import ConfigError
from nearfar.typed import typed, unknown_key

from . import frozen_parts
from .config import Recipe

_NOT_OPTIONS = ("network", "encoder", "curves")


class RecipeParts:
    """A recipe as `family.TrainingParts`: nothing is loaded before it is asked for."""

    def __init__(self, recipe: Recipe, *, config: Any, device: torch.device) -> None:
        self._recipe = recipe
        self.preset, self.config, self.device = recipe.model.preset, config, device
        self.has_start = bool(recipe.train.init_from)

    def generator(self) -> torch.Generator:
        """The CPU generator of the first weights, seeded with train.seed."""
        return torch.Generator().manual_seed(self._recipe.train.seed)

    def options(self, objective: Any) -> dict[str, Any]:
        """The [train.objective] table, each key a named parameter of the objective."""
        return checked_options(objective, self._recipe.train.objective)

    def frozen_encoder(self) -> Any:
        """The encoder that model.encoder names, frozen, float32, on the device."""
        return frozen_parts.frozen_encoder(self._recipe, self.device)

    def encoder_sha256(self) -> str:
        """Of the file of that encoder; empty if none is pinned."""
        return frozen_parts.encoder_sha256(self._recipe.model.encoder)

    def require_width(self, given: int, wanted: int) -> None:
        """Pass if an encoder's semantics are as wide as the preset takes them."""
        frozen_parts.require_width(given, wanted, self._recipe)

    def put_backbone(self, backbone: nn.Module) -> str:
        """Start a photo encoder that is trained along from model.encoder; its file's sha256."""
        return frozen_parts.put_backbone(backbone, self._recipe)

    def put_tokenizer(self, tokenizer: Any, *, own_scales: bool = False) -> None:
        """Fill a tokenizer from model.tokenizer; own_scales: trained with other token maps."""
        name = self._recipe.model.tokenizer
        frozen_parts.put_tokenizer(tokenizer, name, own_scales=own_scales)


def preset_of(presets: Mapping[str, Any], recipe: Recipe) -> Any:
    """The config that model.preset names."""
    name = recipe.model.preset
    if name not in presets:
        raise ConfigError("model.preset", f"unknown {name!r}", f"Use one of {', '.join(presets)}")
    return presets[name]


def checked_options(objective: Any, options: Mapping[str, Any]) -> dict[str, Any]:
    """The [train.objective] table, each key a named parameter of the objective, of its type."""
    known = [n for n in inspect.signature(objective).parameters if n not in _NOT_OPTIONS]
    made = objective.__init__ if inspect.isclass(objective) else objective
    hints = get_type_hints(made)
    checked = {}
    for key, value in options.items():
        if key not in known:
            raise unknown_key("recipe: train.objective", key, known)
        checked[key] = typed(value, hints.get(key, Any), f"train.objective.{key}")
    return checked
