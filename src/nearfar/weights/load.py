"""From a name, a folder or a file to a predictor or an encoder, checked and frozen.

Order: licence, file (embedded, on this machine, else downloaded and converted once), sha256, names
and shapes, NaN and zeros, encoder tag, dtype, device.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import nn

from nearfar.errors import OutputError, WeightsError
from nearfar.family import NON_COMMERCIAL, PredictorParts, WeightsEntry
from nearfar.models.base import Predictor

from .convert import convert_file
from .families import NETWORKS
from .hub import Progress, fetch
from .licences import parts_of, require_licences
from .networks import build, fill
from .predictors import build_predictor, require_depth, semantics_width
from .prune_plan import PrunePlan
from .published import Weights, read_weights
from .registry import (
    ENCODER_ENTRIES,
    ENTRIES,
    converted_path,
    fill_from_card,
    find,
    local_path,
    with_card,
)
from .safe import require_sha256, require_sound, some

log = logging.getLogger(__name__)

# what a folder may hold: the names `nearfar train` writes, and the encoder they stand on
OWN_FILE, OWN_CARD, OWN_ENCODER = "weights.safetensors", "card.json", "encoder.safetensors"
_SUFFIXES = (".safetensors", ".pth", ".pt", ".ckpt", ".bin")


class LoadedNetwork(NamedTuple):
    """One network with its file's entry and sha256, and that of the encoder it was trained with.

    plan: of a pruned one. dtype: of the numbers in the file.
    """

    network: nn.Module
    entry: WeightsEntry
    sha256: str
    encoder_sha256: str = ""
    plan: PrunePlan | None = None
    dtype: torch.dtype = torch.float32


class LoadedModel(NamedTuple):
    """A predictor, the entry it comes from (made up for an own file), and its file's sha256.

    source: its network as the file holds it, and the sha256 of the encoder's file that is used.
    """

    predictor: Predictor
    entry: WeightsEntry
    sha256: str
    source: LoadedNetwork | None = None
    used_encoder_sha256: str = ""

    @property
    def is_video(self) -> bool:
        """Whether it sees windows of frames (a VideoPredictor) instead of photos."""
        return callable(getattr(self.predictor, "predict_window", None))


def load_predictor(
    name_or_path: str | Path,
    *,
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float32,
    accept_license: bool = False,
    encoder: str | Path | None = None,
) -> LoadedModel:
    """A predictor ready to run, from a registry name, a folder or a file of weights.

    encoder: name or file of the encoder, where it is not the registry's for the weights' tag (an
    own tiny encoder; in a folder, encoder.safetensors is taken); for families that need none, where
    metres come from. Errors: ConfigError for an unknown name; WeightsError for licence, damage,
    misfit, mismatched encoder, no depth model, or no download.
    """
    if isinstance(name_or_path, str) and name_or_path in ENTRIES:
        require_depth(ENTRIES[name_or_path].family, name_or_path)  # before anything is downloaded
    entry, path = _resolve(name_or_path, accept_license=accept_license)
    loaded = _read(path, entry)
    require_depth(loaded.entry.family, path)
    require_licences([loaded.entry], accept=accept_license)
    place = torch.device(device)
    source = encoder if encoder is not None else _encoder_of(loaded, path)
    frozen, used = None, ""
    if source is not None:
        found = _read_encoder(source, accept_license=accept_license)
        frozen = _placed(found, place, dtype)
        _require_pair(path, loaded, frozen, found.sha256)
        used = found.sha256
    parts = PredictorParts(
        network=loaded.network.to(place),
        encoder=frozen,
        dtype=dtype,
        area=loaded.entry.area,
        steps=loaded.entry.steps,
        guidance=loaded.entry.guidance,
        mode=loaded.entry.mode,
        start=loaded.entry.start,
    )
    predictor = build_predictor(loaded.entry.family, parts)
    return LoadedModel(predictor, loaded.entry, loaded.sha256, loaded, used)


def load_encoder(
    name_or_path: str | Path,
    *,
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float32,
    accept_license: bool = False,
) -> Any:
    """A frozen encoder (`SemanticEncoder`, some also `MetricEncoder`) from a name or a file.

    The tiny encoder stays float32 whatever the dtype.
    """
    loaded = _read_encoder(name_or_path, accept_license=accept_license)
    return _placed(loaded, torch.device(device), dtype)


def obtain(
    entry: WeightsEntry, *, accept_license: bool = False, progress: Progress | None = None
) -> Path:
    """The entry's safetensors on this machine; downloaded and converted if it is not there yet."""
    require_licences([entry], accept=accept_license)
    path = local_path(entry)
    if entry.embedded:
        if path is None:
            raise WeightsError(
                entry.name,
                f"{entry.file} is missing in this installation",
                "Install nearfar again",
            )
        return path
    target = converted_path(entry)
    if path == target:
        return target
    downloaded = path is None
    source = fetch(entry, progress=progress) if path is None else path
    require_sha256(source, entry.sha256)
    try:
        convert_file(source, target, encoder=entry.encoder or None)
    except OutputError as error:
        log.warning("%s; using the file as it is", error)
        return source
    if downloaded:
        source.unlink(missing_ok=True)  # its tensors are in the converted file
    return target


def _resolve(name_or_path: str | Path, *, accept_license: bool) -> tuple[WeightsEntry | None, Path]:
    """The registry entry (None for an own file) and the file to read; licences are asked first."""
    if isinstance(name_or_path, str) and name_or_path in ENTRIES:
        entry = find(name_or_path)
        require_licences(parts_of(entry), accept=accept_license)
        return entry, obtain(entry, accept_license=accept_license)
    path = Path(name_or_path).expanduser()
    if path.is_dir():
        path = _file_in(path)
    elif not path.exists():
        looks_like_a_path = path.suffix in _SUFFIXES or len(path.parts) > 1
        if looks_like_a_path:
            raise WeightsError(path, "no such file", "Names are listed by nearfar models list")
        find(str(name_or_path))  # raises, naming the nearest
    return None, path


def _file_in(folder: Path) -> Path:
    """The file of weights of a folder: weights.safetensors, or the only one there is."""
    if (folder / OWN_FILE).is_file():
        return folder / OWN_FILE
    found = [p for p in sorted(folder.glob("*.safetensors")) if p.name != OWN_ENCODER]
    if len(found) != 1:
        names = f" ({some([p.name for p in found])})" if found else ""
        raise WeightsError(
            folder, f"holds {len(found)} files of weights{names}", f"Name one, or keep {OWN_FILE}"
        )
    return found[0]


def _read(path: Path, entry: WeightsEntry | None) -> LoadedNetwork:
    """The network of a file, its content checked; the entry as the file says."""
    if entry is not None and entry.embedded and entry.sha256 is None:
        raise WeightsError(path, "its card is missing", "Install nearfar again")
    pinned = entry.sha256 if entry is not None and path.name == entry.file else None
    sha256 = require_sha256(path, pinned)
    weights = read_weights(path)
    if entry is not None:
        _require_entry(path, weights, entry)
    require_sound(weights.tensors, path)
    network = fill(build(weights.family, weights.config, weights.plan), weights.tensors)
    own = _entry_of(path, weights, entry, sha256)
    floats = (t.dtype for t in weights.tensors.values() if t.is_floating_point())
    stored = next(floats, torch.float32)
    return LoadedNetwork(network, own, sha256, weights.encoder_sha256, weights.plan, stored)


def _require_entry(path: Path, weights: Weights, entry: WeightsEntry) -> None:
    """The file must be what the registry says it is."""
    for what in ("family", "encoder"):
        found, wanted = getattr(weights, what), getattr(entry, what)
        own_encoder = what == "encoder" and entry.is_encoder and not found
        if found != wanted and not own_encoder:
            raise WeightsError(path, f"{what} {found!r}, but {entry.name} needs {wanted!r}")


def _entry_of(
    path: Path, weights: Weights, entry: WeightsEntry | None, sha256: str
) -> WeightsEntry:
    """The registry's entry, the one the file was converted from, or one made up for an own file."""
    if entry is not None:
        return entry
    known = ENTRIES.get(weights.entry)
    if known is not None and known.family == weights.family:
        return replace(with_card(known), file=path.name, sha256=sha256, embedded=False)
    alike = [
        e for e in ENTRIES.values() if (e.family, e.preset) == (weights.family, weights.preset)
    ]
    own = WeightsEntry(
        name=path.parent.name if path.name == OWN_FILE else path.stem,
        family=weights.family,
        preset=weights.preset,
        encoder=weights.encoder,
        file=path.name,
        sha256=sha256,
        licence=weights.licence,
        is_encoder=NETWORKS[weights.family].is_encoder,
        commercial=False if weights.licence == NON_COMMERCIAL else None,
        size_mb=round(path.stat().st_size / 1e6, 1),
        area=alike[0].area if alike else None,
    )
    if weights.plan is not None:
        plan = weights.plan
        own = replace(
            own,
            area=plan.area or own.area,
            steps=plan.steps,
            start=plan.start,
            training_data=plan.training_data,
        )
    card = path.with_name(OWN_CARD)
    if path.name != OWN_FILE or not card.is_file():
        return own
    return replace(fill_from_card(own, card), sha256=sha256)


def _read_encoder(name_or_path: str | Path, *, accept_license: bool) -> LoadedNetwork:
    """The encoder of a name or a file, on the CPU."""
    entry, path = _resolve(name_or_path, accept_license=accept_license)
    loaded = _read(path, entry)
    if not NETWORKS[loaded.entry.family].is_encoder:
        raise WeightsError(path, f"of family {loaded.entry.family}, not an encoder")
    require_licences([loaded.entry], accept=accept_license)
    return loaded


def _placed(loaded: LoadedNetwork, device: torch.device, dtype: torch.dtype) -> Any:
    """The encoder on the device, in `dtype` or, where that costs digits, in float32."""
    exact = NETWORKS[loaded.entry.family].is_exact
    return loaded.network.to(device=device, dtype=torch.float32 if exact else dtype)


def _encoder_of(loaded: LoadedNetwork, path: Path) -> str | Path | None:
    """The encoder a network needs: beside its file, else by its tag; None if it needs none."""
    tag = loaded.entry.encoder
    if not tag and not semantics_width(loaded.network):
        return None
    beside = path.parent / OWN_ENCODER
    if beside.is_file():
        return beside
    if tag not in ENCODER_ENTRIES:
        raise WeightsError(
            path, f"encoder tag {tag!r} is unknown", f"Known: {', '.join(ENCODER_ENTRIES)}"
        )
    return ENCODER_ENTRIES[tag]


def _require_pair(path: Path, loaded: LoadedNetwork, encoder: Any, sha256: str) -> None:
    """The encoder must be the one the weights were trained with, by tag and by width.

    Another file of the same kind is told in a warning: it works, but less well.
    """
    tag, wanted = loaded.entry.encoder, semantics_width(loaded.network)
    if NETWORKS[loaded.entry.family].has_own_encoder:
        raise WeightsError(path, "takes no encoder: it has its own inside", "Leave it out")
    if wanted == 0:
        return  # the encoder is only asked for metres
    if encoder.name != tag:
        raise WeightsError(
            path,
            f"trained with encoder {tag!r}, not {encoder.name!r}",
            "Leave the encoder out: its own is found by the tag",
        )
    if encoder.width != wanted:
        raise WeightsError(
            path,
            f"takes semantics {wanted} wide, this {tag} encoder gives {encoder.width}",
        )
    if loaded.encoder_sha256 not in ("", sha256):
        log.warning(
            "%s: trained with encoder file %s..., this one is %s...; depth may be worse",
            path,
            loaded.encoder_sha256[:12],
            sha256[:12],
        )
