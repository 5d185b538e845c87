"""Sizes of a VAR / DepthART network (docs/nextscale.md sections 2, 6)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from nearfar.errors import ConfigError
from nearfar.layers.mlp import Activation
from nearfar.tokenizers.config import VQConfig
from nearfar.tokenizers.presets import VAR

Attention = Literal["plain", "l2_norm"]  # softmax scale 0.25 / sqrt(E); or unit q, k
Modulation = Literal["block", "shared", "constant"]  # constant: what a single condition folds to
Prefix = Literal["tokenizer", "encoder"]  # the photo as partial sums, or as semantics
PUBLISHED_CURVE = "linear_q98"  # ours have others: with it go the looks of the released code
_CHOICES = (("attention", Attention), ("modulation", Modulation), ("prefix", Prefix))


@dataclass(frozen=True, kw_only=True, slots=True)
class DepthARTConfig:
    """Sizes; the defaults are those of the published DepthART (VAR-d16, plain attention).

    classes: of VAR; depth uses only the row after them. semantics_width: of the encoder, 0 where
    the photo goes through the tokenizer. curve: how metres become an image (geometry.depth_curves).
    """

    width: int = 1024
    depth: int = 16
    heads: int = 16
    mlp_ratio: int = 4
    classes: int = 1000
    attention: Attention = "plain"
    modulation: Modulation = "block"
    prefix: Prefix = "tokenizer"
    semantics_width: int = 0
    activation: Activation = "gelu_tanh"
    curve: str = PUBLISHED_CURVE
    tokenizer: VQConfig = VAR

    def __post_init__(self) -> None:
        for name in ("width", "depth", "heads", "mlp_ratio"):
            value = getattr(self, name)
            if not isinstance(value, int) or value < 1:
                raise ConfigError(f"DepthARTConfig.{name}", f"{value!r} is not a positive integer")
        for name, choice in (*_CHOICES, ("activation", Activation)):
            if getattr(self, name) not in get_args(choice):
                found, known = getattr(self, name), get_args(choice)
                raise ConfigError(f"DepthARTConfig.{name}", f"{found!r}", f"Use one of {known}")
        if self.width % self.heads or self.classes < 0:
            raise ConfigError(
                "DepthARTConfig", f"width {self.width}, heads {self.heads}, classes {self.classes}"
            )
        if (self.prefix == "encoder") != (self.semantics_width > 0):
            raise ConfigError(
                "DepthARTConfig.semantics_width", f"{self.semantics_width} with {self.prefix}"
            )
        if self.prefix == "tokenizer" and self.tokenizer.image_channels != 3:
            raise ConfigError("DepthARTConfig.prefix", "a depth-only tokenizer takes no photo")
