"""What a file of weights is: our own format, or a released checkpoint (spec ppd.md section 13).

Released checkpoints come nested (state_dict, model), under prefixes, with parts that are not needed
(counted, never silently mixed in). Kind and sizes are read from names and shapes. What shapes
cannot tell, the encoder PPD was trained with, comes from the released file names or from the
caller: the wrong encoder would load without a word and give garbage.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from sonde.encoders.dinov2 import MEAN_RGB, STD_RGB, DinoV2Config
from sonde.encoders.moge2_config import MoGe2Config, from_published
from sonde.errors import ConfigError, WeightsError
from sonde.models.depthart import keys as depthart_keys
from sonde.models.ppd import keys
from sonde.models.ppd.config import PPDConfig
from sonde.tokenizers import keys as tokenizer_keys

from .networks import build, config_from_metadata, preset_of, require_fit
from .registry import ENCODER_ENTRIES, NOT_STATED, find_by_file
from .safe import is_pickle, read_pickle, read_safetensors, some

FORMAT = "1"
PREFIXES = (*keys.PREFIXES, keys.VIDEO_PREFIX, "pretrained.", "_orig_mod.")
NESTS = (*keys.NESTS, *depthart_keys.NESTS)
FOREIGN = ("sem_encoder", "depth_head")  # parts beside the network in released files
UNUSED = ("mask_token", "image_mean", "image_std")  # training only, or constants of ours
TAG_OF_STEM = {"ppd": "dav2", "ppd_moge": "moge2"}
_HEAD_WIDTH = 64  # of every published DINOv2


@dataclass(frozen=True, kw_only=True, slots=True)
class Weights:
    """A recognised file: tensors under our names, checked against the network they belong to.

    ignored: part left out -> number of tensors. entry: name in the registry, or empty.
    """

    family: str
    encoder: str
    config: Any
    tensors: dict[str, Tensor]
    ignored: dict[str, int]
    licence: str
    entry: str

    @property
    def preset(self) -> str:
        """The config's name, or `custom`."""
        return preset_of(self.family, self.config)


class Flat(NamedTuple):
    """Tensors by bare name, prefixes that were taken off, parts left out, MoGe's model_config."""

    tensors: dict[str, Tensor]
    prefixes: frozenset[str]
    ignored: Counter[str]
    model_config: Mapping[str, Any] | None


def read_weights(path: Path, *, encoder: str | None = None) -> Weights:
    """The recognised and checked content of a file, ours or released; WeightsError otherwise.

    encoder: tag of PPD's encoder, needed where neither metadata nor file name tell it.
    """
    if encoder is not None and encoder not in ENCODER_ENTRIES:
        raise ConfigError(
            "encoder", f"unknown tag {encoder!r}", f"Use one of {', '.join(ENCODER_ENTRIES)}"
        )
    if is_pickle(path):
        return _recognise(path, flatten(read_pickle(path), path), encoder)
    tensors, metadata = read_safetensors(path)
    if "sonde_format" in metadata:
        return _own(path, tensors, metadata, encoder)
    return _recognise(path, flatten(tensors, path), encoder)


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
    """The family of released tensors by their names; WeightsError says what else they are."""
    names = flat.tensors
    if "x_embedder.proj.weight" in names or "final_layer.linear.weight" in names:
        temporal = sum(name.startswith("temporal_blocks.") for name in names)
        if temporal or keys.VIDEO_PREFIX in flat.prefixes or "pos_embed" in names:
            raise WeightsError(
                where,
                f"a PPVD (video) file: {temporal} temporal tensors, absolute positions",
                "Image PPD is ppd.pth or ppd_moge.pth",
            )
        return "ppd"
    if any(name.startswith("encoder.backbone.") for name in names):
        return "moge2"
    if "register_token" in names:
        raise WeightsError(
            where, "a Pi3 file, the encoder of video PPD", "Image PPD does not use it"
        )
    if "patch_embed.proj.weight" in names and "cls_token" in names:
        return "depth_anything_v2"
    if depthart_keys.MARK in names:
        return "depthart"  # or the VAR that it starts from
    if tokenizer_keys.is_published([*names]) and "word_embed.weight" not in names:
        return "depth_tokenizer"  # a VQ-VAE of VAR or Switti, without a transformer beside it
    raise WeightsError(
        where,
        f"{len(names)} tensors of no known network ({some([*names])})",
        "Known: PPD, Depth Anything V2, MoGe-2, and files written by sonde",
    )


def _own(
    path: Path, tensors: dict[str, Tensor], metadata: Mapping[str, str], encoder: str | None
) -> Weights:
    """A file in our format: its metadata say everything."""
    if metadata["sonde_format"] != FORMAT:
        raise WeightsError(
            path, f"format {metadata['sonde_format']}, this version reads {FORMAT}", "Update sonde"
        )
    config = config_from_metadata(metadata, path)
    family = metadata["family"]
    require_fit(build(family, config), tensors, path)
    tag = metadata.get("encoder", "")
    if encoder is not None and tag and tag != encoder:
        raise WeightsError(path, f"belongs to encoder {tag}, not {encoder}")
    return Weights(
        family=family,
        encoder=tag or encoder or "",
        config=config,
        tensors=tensors,
        ignored={},
        licence=metadata.get("licence", NOT_STATED),
        entry=metadata.get("entry", ""),
    )


def _recognise(path: Path, flat: Flat, encoder: str | None) -> Weights:
    """A released checkpoint: kind, sizes and tag found out, tensors checked against them."""
    family, tensors = identify(flat, path), flat.tensors
    config: Any
    try:
        if family == "ppd":
            tag, config = _ppd_tag(path, encoder), _ppd_config(tensors)
        elif family == "moge2":
            tag, config = _encoder_tag(path, encoder, "moge2"), _moge2_config(flat, path)
        elif family == "depthart":
            found = depthart_keys.from_published(tensors, where=path)
            depthart_keys.require_tokenizer(found, where=path)
            tag, (config, tensors, dropped) = "", found
            flat.ignored.update(dropped)
        elif family == "depth_tokenizer":
            tag, (config, tensors, dropped) = "", tokenizer_keys.from_published(tensors, where=path)
            flat.ignored.update(dropped)
        else:
            tag, config = _encoder_tag(path, encoder, "dav2"), _dinov2_config(tensors, "")
            if "pretrained." not in flat.prefixes and encoder != "dav2":
                raise WeightsError(
                    path,
                    "a bare DINOv2, which need not be that of Depth Anything V2",
                    "If it is: sonde models convert --encoder dav2",
                )
            tensors = {f"pretrained.{name}": tensor for name, tensor in tensors.items()}
    except KeyError as error:
        raise WeightsError(path, f"looks like {family}, but {error} is missing") from error
    require_fit(build(family, config), tensors, path)
    known = find_by_file(path.name)
    return Weights(
        family=family,
        encoder=tag,
        config=config,
        tensors=tensors,
        ignored=dict(flat.ignored),
        licence=NOT_STATED if known is None else known.licence,
        entry="" if known is None or known.family != family else known.name,
    )


def _bare(name: str) -> tuple[str, set[str]]:
    """The name without any run of known prefixes, and those taken off."""
    taken: set[str] = set()
    while prefix := next((p for p in PREFIXES if name.startswith(p)), None):
        name = name.removeprefix(prefix)
        taken.add(prefix)
    return name, taken


def _require_known_constant(name: str, value: Tensor, where: object) -> None:
    """Colour statistics in a file must be those our encoders use."""
    ours = {"image_mean": MEAN_RGB, "image_std": STD_RGB}.get(name.split(".")[-1])
    if ours is not None:
        found = value.flatten().float()
        if found.shape != (3,) or not torch.allclose(found, torch.tensor(ours), atol=2e-3):
            raise WeightsError(where, f"{name} is {found.tolist()}, our encoder uses {ours}")


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
            "Say it once: sonde models convert --encoder dav2 or --encoder moge2",
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
