"""What was pruned away from a network: the plan that its file holds, and networks cut by it.

A file of a pruned network keeps the config of the whole one. The plan says which inputs of which
layers are gone, so that the network can be built as small as its tensors before they are read.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import torch
from torch import nn

from nearfar.errors import ConfigError, WeightsError
from nearfar.family import NOT_STATED
from nearfar.layers.prunable import PrunableUnit
from nearfar.typed import from_table

from .families import NETWORKS
from .registry import LARGEST_AREA

KEY = "prune_plan"  # in the metadata
_MOST_STEPS = 1000


@dataclass(frozen=True, kw_only=True, slots=True)
class PrunePlan:
    """removed: layer -> its inputs that are gone, rising, numbered as in the whole network.

    model: what was pruned first; area, steps, start, training_data: of it, as in `WeightsEntry`,
    for the pruned one works as it did. rounds: what was done, one line each.
    """

    model: str = ""
    area: int | None = None
    steps: int | None = None
    start: Literal["noise", "first"] | None = None
    training_data: str = NOT_STATED
    removed: dict[str, tuple[int, ...]] = field(default_factory=dict)
    rounds: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name, most in (("area", LARGEST_AREA), ("steps", _MOST_STEPS)):
            value = getattr(self, name)
            if value is not None and not 1 <= value <= most:
                raise ConfigError(f"{KEY}.{name}", f"{value} is not within 1..{most}")

    def text(self) -> str:
        """The plan as the metadata hold it."""
        return json.dumps(asdict(self), separators=(",", ":"))


def plan_from_metadata(metadata: Mapping[str, str], where: object) -> PrunePlan | None:
    """The plan of a file, None if it was not pruned; WeightsError if it is damaged."""
    if KEY not in metadata:
        return None
    try:
        table = json.loads(metadata[KEY])
        if not isinstance(table, dict):
            raise ConfigError(KEY, "not a table")
        return from_table(PrunePlan, table, where=KEY)
    except (ValueError, RecursionError) as error:
        raise WeightsError(where, f"its {KEY} cannot be read ({error})", "Prune again") from error


def prunable_units(family: str, network: nn.Module, where: object) -> Sequence[PrunableUnit]:
    """The layers of a network that can be pruned; ConfigError if its family is not made for it."""
    find = NETWORKS[family].prunable
    if find is None:
        known = ", ".join(kind.name for kind in NETWORKS.values() if kind.prunable)
        raise ConfigError(where, f"{family} networks cannot be pruned yet", f"Possible: {known}")
    return find(network)


def shrink(family: str, network: Any, plan: PrunePlan, where: object) -> None:
    """Cut the whole network down to what the plan leaves; WeightsError if it is of another."""
    if NETWORKS[family].prunable is None:
        raise WeightsError(where, f"has a {KEY}, but {family} networks cannot be pruned")
    units = {unit.name: unit for unit in prunable_units(family, network, where)}
    for name, removed in plan.removed.items():
        unit = units.get(name)
        if unit is None or unit.remove is None:
            raise WeightsError(where, f"its {KEY} cuts {name!r}, which this network lacks")
        width, size = unit.linear.in_features, unit.group_size
        groups = sorted({index // size for index in removed})
        whole = [group * size + i for group in groups for i in range(size)]
        is_inside = all(0 <= index < width for index in removed)
        if list(removed) != whole or not is_inside or len(removed) >= width:
            raise WeightsError(where, f"its {KEY} does not fit {name}, {width} inputs wide")
        unit.remove(torch.tensor(removed, dtype=torch.long))
