"""Released checkpoints: what they are by the names of their tensors, and their sizes by shapes.

They come nested (state_dict, model), under prefixes, with parts that are not needed (counted, never
silently mixed in). What shapes cannot tell, the encoder PPD was trained with, comes from the
released file names or from the caller: the wrong encoder would load without a word and give garbage
(spec ppd.md section 13). Parts of models that predict nothing alone are refused by name.
"""

from __future__ import annotations

import logging
import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from nearfar.encoders import pi3
from nearfar.encoders.dinov2 import MEAN_RGB, STD_RGB, DinoV2Config
from nearfar.encoders.moge2_config import MoGe2Config, from_published
from nearfar.errors import WeightsError
from nearfar.models.dar import keys as dar_keys
from nearfar.models.depthart import keys as depthart_keys
from nearfar.models.ppd import keys
from nearfar.models.ppd.config import PPDConfig
from nearfar.models.var_depth import keys as var_depth_keys
from nearfar.tokenizers import keys as tokenizer_keys

from .families import NETWORKS
from .networks import build, require_fit
from .registry import find_by_file
from .safe import some

log = logging.getLogger(__name__)

PREFIXES = (*keys.PREFIXES, keys.VIDEO_PREFIX, "pretrained.", "_orig_mod.")
NESTS = (*keys.NESTS, *depthart_keys.NESTS, "model_state_dict", "unet_state_dict")
FOREIGN = ("sem_encoder", "depth_head")  # parts beside the network in released files
UNUSED = ("mask_token", "image_mean", "image_std")  # training only, or constants of ours
TAG_OF_STEM = {"ppd": "dav2", "ppd_moge": "moge2"}
_HEAD_WIDTH = 64  # of every published DINOv2
# a tensor by which a part is known -> what it is, and what would be needed
_PARTS = (
    (
        var_depth_keys.STATIC,
        "the adapter of VAR-Depth alone, without Switti and tokenizer",
        "Files of whole VAR-Depth models are those that nearfar train writes",
    ),
    (
        "mid_block.resnets.0.conv1.weight",
        "the second stage of VAR-Depth alone, which sharpens depth that it is given",
        "Files of whole VAR-Depth models are those that nearfar train writes",
    ),
)


class Recognized(NamedTuple):
    """tensors: by our names. dropped: published names left out."""

    family: str
    encoder: str
    config: Any
    tensors: dict[str, Tensor]
    dropped: list[str]


class Flat(NamedTuple):
    """Tensors by bare name, prefixes that were taken off, parts left out, MoGe's model_config."""

    tensors: dict[str, Tensor]
    prefixes: frozenset[str]
    ignored: Counter[str]
    model_config: Mapping[str, Any] | None


def flatten(content: Mapping[str, Any], where: object) -> Flat:
    """Tensors under bare names, from any nesting and any run of known prefixes."""
    model_config = None
    while True:
        config = content.get("model_config")
        model_config = config if isinstance(config, Mapping) else model_config
        nest = next((n for n in NESTS if isinstance(content.get(n), Mapping)), None)
        if nest is None:
            break
        content = content[nest]
    tensors: dict[str, Tensor] = {}
    prefixes: set[str] = set()
    ignored: Counter[str] = Counter()
    for full_name, value in content.items():
        if not isinstance(value, Tensor):
            continue
        name, taken = _bare(str(full_name))
        prefixes |= taken
        part = name.split(".")[0]
        if part in FOREIGN:
            ignored[part] += 1
        elif name.split(".")[-1] in UNUSED:
            ignored[name.split(".")[-1]] += 1
            _require_known_constant(name, value, where)
        elif name in tensors:
            raise WeightsError(where, f"{name} comes twice, under different prefixes")
        else:
            tensors[name] = value
    if not tensors:
        raise WeightsError(where, f"holds no tensors of a network (top level: {some([*content])})")
    return Flat(tensors, frozenset(prefixes), ignored, model_config)


def identify(flat: Flat, where: object) -> str:
    """The kind of released tensors by their names, a key of READERS; WeightsError otherwise."""
    names = flat.tensors
    if "x_embedder.proj.weight" in names or "final_layer.linear.weight" in names:
        temporal = any(name.startswith("temporal_blocks.") for name in names)
        if temporal or keys.VIDEO_PREFIX in flat.prefixes or "pos_embed" in names:
            return "ppd_video"
        return "ppd"
    if any(name.startswith("decoder.update.") for name in names):
        return "dar"
    if any(name.startswith("encoder.backbone.") for name in names):
        return "moge2"
    if pi3.MARK in names:
        return "pi3"
    if "patch_embed.proj.weight" in names and "cls_token" in names:
        return "depth_anything_v2"
    if depthart_keys.MARK in names:
        return "depthart"  # or the VAR that it starts from
    if var_depth_keys.is_switti([*names]):
        return "switti"
    if tokenizer_keys.is_published([*names]) and "word_embed.weight" not in names:
        return "depth_tokenizer"  # a VQ-VAE of VAR or Switti, without a transformer beside it
    for mark, finding, remedy in _PARTS:
        if mark in names:
            raise WeightsError(where, finding, remedy)
    raise WeightsError(
        where,
        f"{len(names)} tensors of no known network ({some([*names])})",
        "Known: PPD, PPVD, DepthART, VAR, Switti and their tokenizers, DAR, Depth Anything V2, "
        "MoGe-2, Pi3, and files written by nearfar",
    )


def _bare(name: str) -> tuple[str, set[str]]:
    """The name without any run of known prefixes, and those taken off."""
    taken: set[str] = set()
    while prefix := next((p for p in PREFIXES if name.startswith(p)), None):
        name = name.removeprefix(prefix)
        taken.add(prefix)
    return name, taken


def _require_known_constant(name: str, value: Tensor, where: object) -> None:
    """Color statistics in a file must be those our encoders use."""
    ours = {"image_mean": MEAN_RGB, "image_std": STD_RGB}.get(name.split(".")[-1])
    if ours is not None:
        found = value.flatten().float()
        if found.shape != (3,) or not torch.allclose(found, torch.tensor(ours), atol=2e-3):
            raise WeightsError(where, f"{name} is {found.tolist()}, our encoder uses {ours}")


def _ppd(flat: Flat, path: Path, encoder: str | None) -> Recognized:
    tag = _ppd_tag(path, encoder)
    return Recognized("ppd", tag, _ppd_config(flat.tensors), flat.tensors, [])


def _ppd_video(flat: Flat, path: Path, encoder: str | None) -> Recognized:
    """A video network; only one was released, for Pi3's semantics."""
    tag = _encoder_tag(path, encoder, pi3.Pi3.name)
    tensors = {name: t for name, t in flat.tensors.items() if keys.our_video_name(name)}
    dropped = [name for name in flat.tensors if name not in tensors]
    config = keys.video_config_of(tensors)
    return Recognized("ppd_video", tag, config, tensors, dropped)


def _pi3(flat: Flat, path: Path, encoder: str | None) -> Recognized:
    tag = _encoder_tag(path, encoder, pi3.Pi3.name)
    found = pi3.from_published(flat.tensors, where=path)
    dropped = [name for name in flat.tensors if name not in found.tensors]
    return Recognized("pi3", tag, found.config, found.tensors, dropped)


def _moge2(flat: Flat, path: Path, encoder: str | None) -> Recognized:
    tag = _encoder_tag(path, encoder, "moge2")
    return Recognized("moge2", tag, _moge2_config(flat, path), flat.tensors, [])


def _dav2(flat: Flat, path: Path, encoder: str | None) -> Recognized:
    tag, config = _encoder_tag(path, encoder, "dav2"), _dinov2_config(flat.tensors, "")
    if "pretrained." not in flat.prefixes and encoder != "dav2":
        raise WeightsError(
            path,
            "a bare DINOv2, which need not be that of Depth Anything V2",
            "If it is: nearfar models convert --encoder dav2",
        )
    tensors = {f"pretrained.{name}": tensor for name, tensor in flat.tensors.items()}
    return Recognized("depth_anything_v2", tag, config, tensors, [])


def _next_scale(flat: Flat, path: Path, encoder: str | None) -> Recognized:
    """A DepthART with its tokenizer, or a VAR without."""
    config, tensors, dropped = depthart_keys.from_published(flat.tensors, where=path)
    is_whole = any(name.startswith(depthart_keys.TOKENIZER) for name in tensors)
    return Recognized("depthart" if is_whole else "var", "", config, tensors, dropped)


def _switti(flat: Flat, path: Path, encoder: str | None) -> Recognized:
    part = var_depth_keys.from_switti(flat.tensors, where=path)
    return Recognized("switti", "", part.config, part.tensors, part.dropped)


def _tokenizer(flat: Flat, path: Path, encoder: str | None) -> Recognized:
    """A VQ-VAE; its scales, which no shape tells, are those of the released file of this name."""
    family = "depth_tokenizer"
    known = find_by_file(path.name, family=family)
    scales = None if known is None else NETWORKS[family].presets[known.preset].scales
    found = tokenizer_keys.from_published(flat.tensors, where=path, scales=scales)
    return Recognized(family, "", found.config, found.tensors, found.dropped)


def _dar(flat: Flat, path: Path, encoder: str | None) -> Recognized:
    """A checkpoint of the public DAR code: the preset whose names and shapes it has.

    No tensor tells the nearest and farthest metres: those of the preset are taken.
    """
    tensors = {dar_keys.our_name(name): tensor for name, tensor in flat.tensors.items()}
    dropped = [name for name in flat.tensors if dar_keys.our_name(name) is None]
    ours = {name: tensor for name, tensor in tensors.items() if name is not None}
    presets = NETWORKS["dar"].presets
    shapes = {name: tensor.shape for name, tensor in ours.items()}
    for config in presets.values():
        expected = build("dar", config).state_dict()
        if shapes == {name: tensor.shape for name, tensor in expected.items()}:
            near, far = config.near, config.far
            log.warning("%s: no tensor tells its range; taken as %g..%g m", path, near, far)
            return Recognized("dar", "", config, ours, dropped)
    remedy = f"A checkpoint of another preset; known sizes: {', '.join(presets)}"
    require_fit(build("dar", presets["released"]), ours, path, remedy=remedy)
    raise AssertionError("it fits after all")


def _ppd_tag(path: Path, encoder: str | None) -> str:
    """The encoder a PPD checkpoint was trained with, from the released names or the caller."""
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


def _encoder_tag(path: Path, asked: str | None, found: str) -> str:
    if asked not in (None, found):
        raise WeightsError(path, f"an encoder file of {found}, not {asked}")
    return found


def _ppd_config(tensors: Mapping[str, Tensor]) -> PPDConfig:
    """Sizes from shapes; the released networks use tanh-GELU, which no shape tells."""
    width, _, patch, _ = tensors["x_embedder.proj.weight"].shape
    head_width = len(tensors["blocks.0.attn.q_norm.weight"])
    return PPDConfig(
        width=width,
        depth=_block_count(tensors, "blocks."),
        heads=width // head_width,
        patch_size=patch // 2,
        mlp_ratio=len(tensors["blocks.0.mlp.fc1.weight"]) // width,
        semantics_width=tensors["proj_fusion.0.weight"].shape[1] - width,
    )


def _dinov2_config(tensors: Mapping[str, Tensor], prefix: str) -> DinoV2Config:
    """Sizes from shapes; heads are 64 wide in every published DINOv2."""
    width = tensors[f"{prefix}cls_token"].shape[-1]
    return DinoV2Config(
        width=width,
        depth=_block_count(tensors, f"{prefix}blocks."),
        heads=max(1, width // _HEAD_WIDTH),
        grid=math.isqrt(tensors[f"{prefix}pos_embed"].shape[1] - 1),
        mlp_ratio=len(tensors[f"{prefix}blocks.0.mlp.fc1.weight"]) // width,
    )


def _moge2_config(flat: Flat, where: object) -> MoGe2Config:
    """The layout the file's own model_config states; without one, semantics only."""
    trunk = _dinov2_config(flat.tensors, "encoder.backbone.")
    if flat.model_config is not None:
        return from_published(flat.model_config, trunk=trunk)
    decoder = [name for name in flat.tensors if not name.startswith("encoder.")]
    if decoder:
        raise WeightsError(
            where, f"{len(decoder)} decoder tensors ({some(decoder)}) without a model_config"
        )
    weight = flat.tensors["encoder.output_projections.0.weight"]
    count = _block_count(flat.tensors, "encoder.output_projections.")
    step = max(1, trunk.depth // count)  # 5, 11, 17, 23 of 24
    layers = tuple(range(step - 1, trunk.depth, step))[:count]
    return MoGe2Config(trunk=trunk, intermediate_layers=layers, dim_out=len(weight))


def _block_count(names: Iterable[str], prefix: str) -> int:
    """One more than the highest number after the prefix; gaps show as missing tensors later."""
    numbers = [name.removeprefix(prefix).split(".")[0] for name in names if name.startswith(prefix)]
    return 1 + max((int(n) for n in numbers if n.isdigit()), default=-1)


READERS: Mapping[str, Callable[[Flat, Path, str | None], Recognized]] = {
    "ppd": _ppd,
    "ppd_video": _ppd_video,
    "pi3": _pi3,
    "moge2": _moge2,
    "depth_anything_v2": _dav2,
    "depthart": _next_scale,
    "switti": _switti,
    "dar": _dar,
    "depth_tokenizer": _tokenizer,
}
