"""What a file of weights is: our own format, or a released checkpoint, checked against its network.

Kind and sizes of released ones are read from names and shapes (released.py).
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from nearfar.errors import ConfigError, NearfarError, WeightsError
from nearfar.family import NOT_STATED, ReleasedFile
from nearfar.former_name import under_either_name

from .families import NETWORKS
from .networks import checked_config, config_from_metadata, fitting, preset_of
from .prune_plan import KEY as PLAN
from .prune_plan import PrunePlan, plan_from_metadata
from .registry import ENCODER_ENTRIES, find_by_file
from .released import Flat, flatten, identify
from .safe import is_pickle, read_pickle, read_safetensors
from .shared_stem import with_stem

FORMAT = "1"
_NUMBER = re.compile(r"\.\d+(?=\.)")


@dataclass(frozen=True, kw_only=True, slots=True)
class Weights:
    """A recognized file: tensors under our names, checked against the network they belong to.

    ignored: part left out -> number of tensors. entry: name in the registry, or empty.
    encoder_sha256: of the encoder's file in training, empty if unknown. plan: of a pruned network.
    """

    family: str
    encoder: str
    config: Any
    tensors: dict[str, Tensor]
    ignored: dict[str, int]
    licence: str
    entry: str
    encoder_sha256: str = ""
    plan: PrunePlan | None = None

    @property
    def preset(self) -> str:
        """The config's name, or `custom`."""
        return preset_of(self.family, self.config)


def read_weights(path: Path, *, encoder: str | None = None) -> Weights:
    """The recognized and checked content of a file, ours or released; WeightsError otherwise.

    encoder: tag of PPD's encoder, needed where neither metadata nor file name tell it.
    """
    if encoder is not None and encoder not in ENCODER_ENTRIES:
        raise ConfigError(
            "encoder", f"unknown tag {encoder!r}", f"Use one of {', '.join(ENCODER_ENTRIES)}"
        )
    if is_pickle(path):
        return _recognize(path, flatten(read_pickle(path), path), encoder)
    tensors, metadata = read_safetensors(path)
    if under_either_name(metadata, "nearfar_format") is not None:
        return _own(path, tensors, metadata, encoder)
    return _recognize(path, flatten(tensors, path), encoder)


def _own(
    path: Path, tensors: dict[str, Tensor], metadata: Mapping[str, str], encoder: str | None
) -> Weights:
    """A file in our format: its metadata say everything."""
    written = under_either_name(metadata, "nearfar_format")
    if written != FORMAT:
        raise WeightsError(path, f"format {written}, this version reads {FORMAT}", "Update nearfar")
    config = config_from_metadata(metadata, path)
    family = metadata["family"]
    tensors = with_stem(path, family, tensors, metadata.get("encoder_sha256", ""))
    plan = plan_from_metadata(metadata, path)
    remedy = "" if plan else f"If it was pruned, its metadata lost the {PLAN}: prune again"
    fitting(family, config, tensors, path, plan=plan, remedy=remedy)
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
        encoder_sha256=metadata.get("encoder_sha256", ""),
        plan=plan,
    )


def _recognize(path: Path, flat: Flat, encoder: str | None) -> Weights:
    """A released checkpoint: kind, sizes and tag found out, tensors checked against them."""
    form = identify(flat, path)
    of_this_name = find_by_file(path.name, family=form.name)
    file = ReleasedFile(
        path=path,
        tensors=flat.tensors,
        prefixes=flat.prefixes,
        model_config=flat.model_config,
        asked=encoder,
        preset=None if of_this_name is None else of_this_name.preset,
    )
    try:
        found = form.read(file)
    except KeyError as error:
        raise WeightsError(path, f"looks like {form.name}, but {error} is missing") from error
    except NearfarError:
        raise
    except Exception as error:  # shapes and settings of other files can be anything
        reason = str(error) or type(error).__name__
        raise WeightsError(path, f"looks like {form.name}, but does not read ({reason})") from error
    config = NETWORKS[found.kind].config
    checked_config(config, json.dumps(asdict(found.config)), path)
    fitting(found.kind, found.config, found.tensors, path, remedy=found.remedy)
    flat.ignored.update(_NUMBER.sub(".*", name) for name in found.dropped)  # a block like another
    known = find_by_file(path.name, family=found.kind)
    return Weights(
        family=found.kind,
        encoder=found.encoder,
        config=found.config,
        tensors=found.tensors,
        ignored=dict(flat.ignored),
        licence=NOT_STATED if known is None else known.licence,
        entry="" if known is None else known.name,
    )
