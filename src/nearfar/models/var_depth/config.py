"""Sizes of a VAR-Depth network (arXiv 2512.22653; docs/nextscale.md sections 3, 7, 8)."""

from __future__ import annotations

from dataclasses import dataclass

from nearfar.errors import ConfigError
from nearfar.geometry.depth_curves import CURVES
from nearfar.tokenizers.config import VQConfig
from nearfar.tokenizers.presets import SWITTI

# What the entries of a VAR-Depth config may be, and which of them go together.

STAGES = 10  # fixed, whatever the resolution (docs/nextscale.md section 3)
CHOICES: dict[str, tuple[str, ...]] = {
    "ffn": ("swiglu", "gelu"),
    "condition": ("photo", "adapter"),
    "prefix_mode": ("static", "hybrid_conditional", "none"),
    "photo": ("tokenizer", "encoder"),
    "spatial": ("ladder", "concat", "none"),
    "upsampler": ("none", "released", "residual"),
    "curve": CURVES,
}
_WIDTHS = ("width", "context_width", "pooled_width", "ladder_width")
_POSITIVE = (*_WIDTHS, "depth", "heads", "context_side", "inject_every")


def require(config: VarDepthConfig) -> None:
    """Pass if the entries fit each other; ConfigError names those that do not."""
    for name in _POSITIVE:
        value = getattr(config, name)
        if not isinstance(value, int) or value < 1:
            raise ConfigError(f"VarDepthConfig.{name}", f"{value!r} is not a positive integer")
    for name, known in CHOICES.items():
        value = getattr(config, name)
        if value not in known:
            raise ConfigError(f"VarDepthConfig.{name}", f"{value!r}", f"Use one of {known}")
    if config.width % (4 * config.heads) or (config.has_crop and config.width % 8):
        raise ConfigError(
            "VarDepthConfig.heads",
            f"width {config.width} / heads {config.heads} is not a multiple of 4",
            "Rotary positions take two pairs of channels for rows and columns each",
        )
    if config.ladder_width % 16:
        raise ConfigError("VarDepthConfig.ladder_width", f"{config.ladder_width}: multiples of 16")
    if config.prefix_tokens < 0:
        raise ConfigError("VarDepthConfig.prefix_tokens", f"{config.prefix_tokens} is negative")
    _require_photo(config)
    _require_adapter(config)


def require_stages(config: VarDepthConfig) -> None:
    """Pass if the network has the ten stages of the paper; predictors and training ask for them."""
    count = len(config.tokenizer.scales)
    if count != STAGES:
        raise ConfigError(
            "VarDepthConfig.tokenizer",
            f"{count} scales, VAR-Depth has {STAGES} fixed stages",
            "Give its tokenizer ten scales",
        )


def require_request(config: VarDepthConfig, *, steps: int, area: int, samples: int) -> None:
    """Pass if a prediction asks for what the network can vary: the number of samples."""
    if steps != 1:
        raise ConfigError(
            "steps",
            f"{steps}, but VAR-Depth has no sampling steps: it always runs its {STAGES} fixed "
            "stages, one a scale",
            "Leave --steps out",
        )
    side = config.tokenizer.image_size
    if area != side * side:
        raise ConfigError(
            "resolution",
            f"{area} pixels, but this model has one size: {side}x{side}",
            "Leave --resolution out",
        )
    if samples < 1:
        raise ConfigError("predict", "no generator given", "Give one per hypothesis")


def _require_photo(config: VarDepthConfig) -> None:
    """Where the photo's features come from."""
    if (config.photo == "encoder") != (config.semantics_width > 0):
        raise ConfigError(
            "VarDepthConfig.semantics_width", f"{config.semantics_width} with {config.photo!r}"
        )
    if config.condition == "photo" and config.photo == "tokenizer":
        if config.tokenizer.image_channels != 3:
            raise ConfigError("VarDepthConfig.photo", "a depth-only tokenizer takes no photo")
        if len(config.tokenizer.multipliers) < 3:
            raise ConfigError("VarDepthConfig.tokenizer", "fewer than three levels")


def _require_adapter(config: VarDepthConfig) -> None:
    """The released condition has no way to places, no unconditional branch, ten prefix scales."""
    if config.condition == "photo":
        if config.prefix_mode != "none":
            raise ConfigError("VarDepthConfig.prefix_mode", "only the released adapter has modes")
        return
    if config.spatial != "none" or config.has_null or config.photo != "tokenizer":
        raise ConfigError(
            "VarDepthConfig.condition",
            f"adapter with spatial {config.spatial!r}, has_null {config.has_null}, photo "
            f"{config.photo!r}",
            "The released design has none of these",
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class VarDepthConfig:
    """Sizes; the defaults are our design on the published Switti-512. Choices: above.

    is_causal: scales see earlier ones, not only f_hat. has_crop: crop condition. condition: the
    photo through small MLPs, or the released adapter on a prompt. photo: whose features of it.
    semantics_width: of that encoder, 0 for the tokenizer. context_side: photo tokens per side of
    the context; prefix_tokens: learned ones before them. spatial: how the photo gets to its places.
    inject_every: blocks between injections. has_null: can be guided. upsampler: second stage.
    """

    width: int = 1920
    depth: int = 30
    heads: int = 30
    context_width: int = 2048
    pooled_width: int = 1280
    ffn: str = "swiglu"
    is_causal: bool = False
    has_crop: bool = True
    condition: str = "photo"
    prefix_mode: str = "none"
    photo: str = "tokenizer"
    semantics_width: int = 0
    context_side: int = 16
    prefix_tokens: int = 8
    spatial: str = "ladder"
    ladder_width: int = 256
    inject_every: int = 6
    has_null: bool = True
    upsampler: str = "none"
    upsampler_widths: tuple[int, ...] = (64, 128, 256, 256)
    curve: str = "sqrt_disparity"
    tokenizer: VQConfig = SWITTI

    def __post_init__(self) -> None:
        require(self)
