"""Tensor names of published PPD files (docs/ppd.md section 13), as pure tables.

Our attribute names are the published ones, so only what wraps them differs: the dictionary may
lie under one of `NESTS`, and every name may carry several of `PREFIXES`. Names that are no tensor
of the network (a `sem_encoder.` saved along) have no name here: `our_name` gives None.
"""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from nearfar.errors import WeightsError
from nearfar.family import Recognized, ReleasedFile

from .config import PPDConfig, PPDVideoConfig

NESTS = ("state_dict", "model")
PREFIXES = ("pipeline.", "module.", "dit.")
VIDEO_PREFIX = "dit_video."  # a file of the video network, not of the image one

TAG_OF_STEM = {"ppd": "dav2", "ppd_moge": "moge2"}  # released file names -> encoder
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


def read_released(file: ReleasedFile) -> Recognized:
    """A released image network."""
    tensors = dict(file.tensors)
    return Recognized(kind="ppd", config=config_of(tensors), tensors=tensors, encoder=_tag(file))


def read_released_video(file: ReleasedFile) -> Recognized:
    """A released video network; there is only one, for Pi3's semantics."""
    if file.asked not in (None, "pi3"):
        raise WeightsError(file.path, f"an encoder file of pi3, not {file.asked}")
    tensors = {name: t for name, t in file.tensors.items() if our_video_name(name)}
    dropped = [name for name in file.tensors if name not in tensors]
    config = video_config_of(tensors)
    return Recognized(
        kind="ppd_video", config=config, tensors=tensors, encoder="pi3", dropped=dropped
    )


def config_of(tensors: Mapping[str, Tensor]) -> PPDConfig:
    """Sizes from shapes; the released networks use tanh-GELU, which no shape tells."""
    width, _, patch, _ = tensors["x_embedder.proj.weight"].shape
    head_width = len(tensors["blocks.0.attn.q_norm.weight"])
    return PPDConfig(
        width=width,
        depth=_block_count(tensors),
        heads=width // head_width,
        patch_size=patch // 2,
        mlp_ratio=len(tensors["blocks.0.mlp.fc1.weight"]) // width,
        semantics_width=tensors["proj_fusion.0.weight"].shape[1] - width,
    )


def _tag(file: ReleasedFile) -> str:
    """The encoder a PPD checkpoint was trained with, from the released names or the caller.

    The wrong encoder would load without a word and give garbage (docs/ppd.md section 13).
    """
    path, encoder = file.path, file.asked
    by_name = TAG_OF_STEM.get(path.stem.lower())
    if by_name is not None and encoder is not None and by_name != encoder:
        raise WeightsError(
            path,
            f"released under this name for encoder {by_name}, not {encoder}",
            "With the wrong encoder PPD gives garbage; rename the file if it is another one",
        )
    tag = encoder or by_name
    if tag is None:
        raise WeightsError(
            path,
            "shapes do not tell which encoder it was trained with",
            "Say it once: nearfar models convert --encoder dav2 or --encoder moge2",
        )
    return tag


def _block_count(tensors: Mapping[str, Tensor]) -> int:
    """One more than the highest number of a block; gaps show as missing tensors later."""
    numbers = [int(name.split(".")[1]) for name in tensors if name.startswith("blocks.")]
    return 1 + max(numbers, default=-1)
