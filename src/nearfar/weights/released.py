"""Released checkpoints: what they are by the names of their tensors, as families tell it.

They come nested (state_dict, model), under prefixes, with parts that are not needed (counted, never
silently mixed in). Parts of models that predict nothing alone are refused by name.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor

from nearfar.encoders.dinov2 import MEAN_RGB, STD_RGB
from nearfar.errors import WeightsError
from nearfar.family import ReleasedForm

from .families import FAMILIES
from .safe import some

# what any program may put before a name
PREFIXES = ("module.", *(p for family in FAMILIES for p in family.prefixes), "_orig_mod.")
NESTS = (
    "state_dict",
    "model",
    *(nest for family in FAMILIES for nest in family.nests),
    "model_state_dict",
)
FOREIGN = ("sem_encoder", "depth_head")  # parts beside the network in released files
UNUSED = ("mask_token", "image_mean", "image_std")  # training only, or constants of ours


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


def identify(flat: Flat, where: object) -> ReleasedForm:
    """The form of released tensors by their names; WeightsError otherwise."""
    for form in _forms():
        if form.is_this(flat.tensors, flat.prefixes):
            return form
    for part in (part for family in FAMILIES for part in family.parts):
        if part.mark in flat.tensors:
            raise WeightsError(where, part.finding, part.remedy)
    raise WeightsError(
        where,
        f"{len(flat.tensors)} tensors of no known network ({some([*flat.tensors])})",
        "Known: PPD, PPVD, DepthART, VAR, Switti and their tokenizers, DAR, Depth Anything V2, "
        "MoGe-2, Pi3, and files written by nearfar",
    )


def _forms() -> Iterator[ReleasedForm]:
    return (form for family in FAMILIES for form in family.forms)


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
