"""Tensor names of published PPD files (spec ppd.md section 13), as pure tables.

Our attribute names are the published ones, so only what wraps them differs: the dictionary may
lie under one of `NESTS`, and every name may carry several of `PREFIXES`. Names that are no tensor
of the network (a `sem_encoder.` saved along) have no name here: `our_name` gives None.
"""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from .config import PPDConfig
from .video_config import PPDVideoConfig

NESTS = ("state_dict", "model")
PREFIXES = ("pipeline.", "module.", "dit.")
VIDEO_PREFIX = "dit_video."  # a file of the video network, not of the image one

_SHARED = ("x_embedder.", "t_embedder.", "blocks.", "proj_fusion.", "final_layer.")
_VIDEO_ONLY = ("temporal_blocks.", "pos_embed")


def our_name(published: str) -> str | None:
    """The name in our state dict, None for a tensor that is not the image network's."""
    name = _bare(published, PREFIXES)
    return name if name.startswith(_SHARED) else None


def our_video_name(published: str) -> str | None:
    """The name in the video network's state dict, None for a tensor that is not its own."""
    name = _bare(published, (*PREFIXES, VIDEO_PREFIX))
    return name if name.startswith((*_SHARED, *_VIDEO_ONLY)) else None


def _bare(name: str, prefixes: tuple[str, ...]) -> str:
    while prefix := next((p for p in prefixes if name.startswith(p)), ""):
        name = name.removeprefix(prefix)
    return name


def expected_shapes(config: PPDConfig) -> dict[str, tuple[int, ...]]:
    """Every tensor name of an image or video network of these sizes with its shape."""
    width, head, patch = config.width, config.head_width, config.coarse_patch
    hidden, fine = config.mlp_ratio * width, 4 * width
    shapes: dict[str, tuple[int, ...]] = {}

    def linear(name: str, rows: int, *columns: int) -> None:
        shapes[f"{name}.weight"], shapes[f"{name}.bias"] = (rows, *columns), (rows,)

    linear("x_embedder.proj", width, 4, patch, patch)
    linear("t_embedder.mlp.0", width, 256)
    linear("t_embedder.mlp.2", width, width)
    blocks = [f"blocks.{index}" for index in range(config.depth)]
    if isinstance(config, PPDVideoConfig):
        blocks += [f"temporal_blocks.{n}" for n in range(len(config.temporal_before))]
        if config.positions == "table":
            shapes["pos_embed"] = (1, config.grid_hw[0] * config.grid_hw[1], width)
    for block in blocks:
        linear(f"{block}.attn.qkv", 3 * width, width)
        for norm in ("q_norm", "k_norm"):
            linear(f"{block}.attn.{norm}", head)
        linear(f"{block}.attn.proj", width, width)
        linear(f"{block}.mlp.fc1", hidden, width)
        linear(f"{block}.mlp.fc2", width, hidden)
        linear(f"{block}.adaLN_modulation.1", 6 * width, width)
    linear("proj_fusion.0", fine, width + config.semantics_width)
    linear("proj_fusion.2", fine, fine)
    linear("proj_fusion.4", fine, fine)
    linear("final_layer.linear", config.patch_size**2, width)
    linear("final_layer.adaLN_modulation.1", 2 * width, width)
    return shapes


def video_config_of(tensors: Mapping[str, Tensor]) -> PPDVideoConfig:
    """The sizes of a published video network by its shapes; KeyError if a telling one is missing.

    What no shape tells (a square position grid, the blocks that see across frames) is as published.
    """
    width = tensors["x_embedder.proj.weight"].shape[0]
    numbers = [int(n.split(".")[1]) for n in tensors if n.startswith("blocks.")]
    temporal = {n.split(".")[1] for n in tensors if n.startswith("temporal_blocks.")}
    if not temporal or not numbers:
        raise KeyError("temporal_blocks" if numbers else "blocks")
    depth, side = max(numbers) + 1, round(tensors["pos_embed"].shape[1] ** 0.5)
    return PPDVideoConfig(
        width=width,
        depth=depth,
        heads=width // tensors["blocks.0.attn.q_norm.weight"].shape[0],
        patch_size=round(tensors["final_layer.linear.weight"].shape[0] ** 0.5),
        mlp_ratio=tensors["blocks.0.mlp.fc1.weight"].shape[0] // width,
        semantics_width=tensors["proj_fusion.0.weight"].shape[1] - width,
        grid_hw=(side, side),
        temporal_before=tuple(range(depth - len(temporal), depth)),
        reference_from=depth - depth // 4,
    )
