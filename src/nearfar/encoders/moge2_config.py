"""Every layout assumption of MoGe-2 (arXiv 2507.02546) in one place, read from the checkpoint.

The published file is a dict {model_config, model}; `from_published` turns its `model_config` into
this config, so a file that differs from our preset is built as it says. Field names of the decoder
follow the public configuration (MoGe config "v2", docs/ppd.md section 13).

The released ViT-L has: layers 5/11/17/23, neck widths 1024/256/128/64/32 with 0/2/2/2/0 residual
blocks (heads 0/1/1/1/0) without norms, three transposed convolutions, then bilinear, a scale head
of three hidden layers, remap "exp", tokens 1200..3600.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, Literal

from torch import Tensor

from nearfar.errors import ConfigError, WeightsError

from .dinov2 import PRESETS as TRUNKS
from .dinov2 import DinoV2Config, numbered
from .dinov2 import config_of as trunk_config_of

RESAMPLERS = ("conv_transpose", "bilinear", "nearest", "pixel_shuffle")
NORMS = ("none", "layer_norm", "group_norm", "instance_norm")
ACTIVATIONS = ("relu", "leaky_relu", "silu", "elu")
REMAPS = ("exp", "linear")
GridRounding = Literal["nearest", "down"]
GRID_ROUNDINGS = ("nearest", "down")


@dataclass(frozen=True, kw_only=True, slots=True)
class ConvStackConfig:
    """A pyramid of levels, each twice as fine as the one before; None = no projection there."""

    dim_in: tuple[int | None, ...]
    dim_res_blocks: tuple[int, ...]
    dim_out: tuple[int | None, ...]
    num_res_blocks: tuple[int, ...]
    resamplers: tuple[str, ...]
    dim_times_res_block_hidden: int = 1
    res_block_in_norm: str = "layer_norm"
    res_block_hidden_norm: str = "group_norm"
    activation: str = "relu"

    def __post_init__(self) -> None:
        levels = len(self.dim_res_blocks)
        sizes = [len(self.dim_in), len(self.dim_out), len(self.num_res_blocks)]
        if sizes != [levels] * 3 or len(self.resamplers) != levels - 1:
            raise ConfigError(
                "ConvStackConfig",
                f"{levels} levels, but {sizes} entries and {len(self.resamplers)} resamplers",
            )
        for value in self.resamplers:
            _one_of("resampler", value, RESAMPLERS)
        _one_of("res_block_in_norm", self.res_block_in_norm, NORMS)
        _one_of("res_block_hidden_norm", self.res_block_hidden_norm, NORMS)
        _one_of("activation", self.activation, ACTIVATIONS)


@dataclass(frozen=True, kw_only=True, slots=True)
class MoGe2Config:
    """Trunk, feature layers, decoder parts (None = absent) and how points are remapped.

    grid_rounding: how the metric part's token grid is made whole. It is no matter of the layout:
    configs that differ in it only are equal.
    """

    trunk: DinoV2Config
    intermediate_layers: tuple[int, ...]
    dim_out: int
    neck: ConvStackConfig | None = None
    points_head: ConvStackConfig | None = None
    mask_head: ConvStackConfig | None = None
    normal_head: ConvStackConfig | None = None
    scale_head: tuple[int, ...] | None = None  # widths of the MLP, input first
    remap_output: str = "exp"
    num_tokens_range: tuple[int, int] = (1200, 3600)
    grid_rounding: GridRounding = field(default="nearest", compare=False)

    def __post_init__(self) -> None:
        _one_of("remap_output", self.remap_output, REMAPS)
        _one_of("grid_rounding", self.grid_rounding, GRID_ROUNDINGS)
        layers, depth = self.intermediate_layers, self.trunk.depth
        if not layers or not all(0 <= i < depth for i in layers):
            raise ConfigError("MoGe2Config", f"layers {layers} are not blocks of 0..{depth - 1}")
        if self.scale_head is not None and self.scale_head[0] != self.trunk.width:
            raise ConfigError(
                "MoGe2Config",
                f"scale head takes {self.scale_head[0]}, but the trunk is {self.trunk.width} wide",
            )

    @property
    def is_metric(self) -> bool:
        """Whether the parts for metres and field of view are there."""
        return None not in (self.neck, self.points_head, self.mask_head, self.scale_head)


def from_published(
    model_config: Mapping[str, Any],
    *,
    trunk: DinoV2Config,
    grid_rounding: GridRounding = "nearest",
) -> MoGe2Config:
    """The config that a checkpoint's `model_config` states; ConfigError on what we cannot build.

    `trunk` comes from the tensors' shapes, since the file names it by a word only.
    """
    encoder = dict(model_config.get("encoder") or {})
    layers = encoder.get("intermediate_layers", 4)
    if isinstance(layers, int):  # a number means the last so many blocks
        layers = range(trunk.depth - layers, trunk.depth)
    scale_head = model_config.get("scale_head")
    stacks = {
        name: None if model_config.get(name) is None else _stack(model_config[name], name)
        for name in ("neck", "points_head", "mask_head", "normal_head")
    }
    low, high = model_config.get("num_tokens_range", (1200, 3600))
    return MoGe2Config(
        trunk=trunk,
        intermediate_layers=tuple(layers),
        dim_out=int(encoder.get("dim_out", trunk.width)),
        scale_head=None if scale_head is None else tuple(scale_head["dims"]),
        remap_output=model_config.get("remap_output", "linear"),
        num_tokens_range=(int(low), int(high)),
        grid_rounding=grid_rounding,
        **stacks,
    )


def _stack(published: Mapping[str, Any], name: str) -> ConvStackConfig:
    """One decoder part; scalar entries are repeated for every level."""
    values = dict(published)
    known = {f.name for f in fields(ConvStackConfig)}
    unknown = sorted(set(values) - known)
    if unknown:
        raise ConfigError(f"model_config.{name}", f"unknown entries {unknown}")
    try:
        levels = len(values["dim_res_blocks"])
        values["dim_in"] = _per_level(values["dim_in"], levels)
        values["dim_out"] = _per_level(values.get("dim_out"), levels)
        values["dim_res_blocks"] = tuple(values["dim_res_blocks"])
        values["num_res_blocks"] = _per_level(values.get("num_res_blocks", 1), levels)
        values["resamplers"] = _per_level(values["resamplers"], levels - 1)
    except (KeyError, TypeError) as error:
        raise ConfigError(f"model_config.{name}", f"incomplete: {error!r}") from error
    return ConvStackConfig(**values)


def _per_level(value: Any, levels: int) -> tuple[Any, ...]:
    """A tuple with one entry a level."""
    if isinstance(value, Sequence) and not isinstance(value, str):
        return tuple(value)
    return (value,) * levels


def _one_of(what: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise ConfigError("MoGe-2 config", f"{what} {value!r} is none of {', '.join(choices)}")


def metric_config(trunk: DinoV2Config, *, widths: tuple[int, ...], dim_out: int) -> MoGe2Config:
    """A full metric config on a trunk; `widths` are those of the neck, coarse to fine.

    UV coordinates are joined at each level, hence the two extra inputs.
    """
    levels = len(widths)
    resamplers = ("conv_transpose",) * (levels - 2) + ("bilinear",)

    def stack(
        dim_in: Sequence[int | None],
        inner: tuple[int, ...],
        dim_out: Sequence[int | None],
        blocks: int = 1,
    ) -> ConvStackConfig:
        return ConvStackConfig(
            dim_in=tuple(dim_in),
            dim_res_blocks=inner,
            dim_out=tuple(dim_out),
            num_res_blocks=(0, *(blocks,) * (levels - 2), 0),
            resamplers=resamplers,
            res_block_in_norm="none",
            res_block_hidden_norm="none",
        )

    only_last: tuple[None, ...] = (None,) * (levels - 1)
    depth = trunk.depth
    quarter = max(1, depth // 4)
    return MoGe2Config(
        trunk=trunk,
        intermediate_layers=tuple(range(quarter - 1, depth, quarter)),
        dim_out=dim_out,
        neck=stack((dim_out + 2, *(2,) * (levels - 1)), widths, (None,) * levels, blocks=2),
        points_head=stack(widths, widths, (*only_last, 3)),
        mask_head=stack(widths, widths, (*only_last, 1)),
        normal_head=stack(widths, widths, (*only_last, 3)),
        scale_head=(*(trunk.width,) * 3, 1),
    )


PRESETS = {
    "vitl": metric_config(TRUNKS["vitl"], widths=(1024, 256, 128, 64, 32), dim_out=1024),
    "vitb": metric_config(TRUNKS["vitb"], widths=(768, 256, 128, 64, 32), dim_out=768),
}


def config_of(
    tensors: Mapping[str, Tensor],
    *,
    model_config: Mapping[str, Any] | None,
    where: object,
    grid_rounding: GridRounding = "nearest",
) -> MoGe2Config:
    """The layout the file's own model_config states; without one, semantics only."""
    trunk = trunk_config_of(tensors, "encoder.backbone.")
    if model_config is not None:
        return from_published(model_config, trunk=trunk, grid_rounding=grid_rounding)
    decoder = [name for name in tensors if not name.startswith("encoder.")]
    if decoder:
        raise WeightsError(
            where,
            f"{len(decoder)} decoder tensors ({', '.join(decoder[:3])}) without a model_config",
        )
    weight = tensors["encoder.output_projections.0.weight"]
    count = numbered(tensors, "encoder.output_projections.")
    step = max(1, trunk.depth // count)  # 5, 11, 17, 23 of 24
    layers = tuple(range(step - 1, trunk.depth, step))[:count]
    return MoGe2Config(trunk=trunk, intermediate_layers=layers, dim_out=len(weight))
