"""The table of known weights. No torch: `nearfar models list` answers at once.

A preset is an architecture; an entry is a file of weights for one. Facts about released files come
from their projects' pages as told in the kit or from memory; we never saw the files, so their
sha256 is None ("not pinned") and their addresses are not checked. Embedded files are ours: their
sha256, size and held-out errors stand on the card beside them.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

from nearfar.errors import ConfigError, WeightsError
from nearfar.settings import cache_folder

NOT_STATED = "not stated"
NON_COMMERCIAL = "CC BY-NC 4.0"
# which weights serve an encoder tag when nothing else is asked for
ENCODER_ENTRIES: Mapping[str, str] = MappingProxyType(
    {
        "tiny": "tiny-encoder",
        "photo": "photo-encoder",
        "tiny_video": "tiny-video-encoder",
        "dav2": "dav2-vitl",
        "moge2": "moge2-vitl",
        "pi3": "pi3",
    }
)
ENCODER_FAMILIES = frozenset(
    {"tiny_encoder", "photo_encoder", "depth_anything_v2", "moge2", "pi3", "tiny_video_encoder"}
)
EMBEDDED_FOLDER = Path(__file__).parent / "embedded"
_NOTHING: Mapping[str, Any] = MappingProxyType({})


@dataclass(frozen=True, kw_only=True, slots=True)
class WeightsEntry:
    """One file of weights and everything a user must know before using it.

    family: a key of weights/networks.py. encoder: tag of the encoder it needs (families; "" = none)
    or is (encoders). sha256: of `file`, None = not pinned. commercial: None = the licence does not
    say. hub_repo and url: where it is to be found, both None = only by hand. size_mb: approximate.
    metrics: reference figures, as published. uncertainty: how the spread of hypotheses was
    calibrated (pipeline/calibration.py), {} = not.
    """

    name: str
    family: str
    preset: str
    encoder: str
    file: str
    licence: str
    commercial: bool | None
    sha256: str | None = None
    hub_repo: str | None = None
    hub_file: str | None = None
    url: str | None = None
    training_data: str = NOT_STATED
    metrics: Mapping[str, Any] = field(default_factory=lambda: _NOTHING)
    size_mb: float | None = None
    embedded: bool = False
    uncertainty: Mapping[str, Any] = field(default_factory=lambda: _NOTHING)
    steps: int | None = None  # network calls and network pixels when nothing is asked for;
    area: int | None = None  # None = the family's own
    guidance: float | None = None  # likewise, of VAR-Depth, and how it chooses codes
    mode: str | None = None
    start: Literal["noise", "first"] | None = None  # and of PPD: where later hypotheses start
    note: str = ""

    @property
    def is_encoder(self) -> bool:
        """Whether this is an encoder, not a depth family."""
        return self.family in ENCODER_FAMILIES

    @property
    def needs_acceptance(self) -> bool:
        """Whether its own licence must be accepted once before use."""
        return self.commercial is False


_PPD_DATA = "Hypersim, UrbanSyn, UnrealStereo4K, Virtual KITTI 2, TartanAir (synthetic)"
_DAV2_DATA = "595 K synthetic images for the teacher, its labels on 62 M photos for these weights"
_RENDERED = "scenes rendered by nearfar (rooms, streets, fields, table tops)"


def _tiny(
    name: str,
    family: str,
    *,
    encoder: str = "tiny",
    preset: str = "tiny",
    area: int | None = None,
    note: str = "",
) -> WeightsEntry:
    """One of ours, shipped with the package."""
    return WeightsEntry(
        name=name,
        family=family,
        preset=preset,
        encoder=encoder,
        file=f"{name.replace('-', '_')}.safetensors",
        licence="Apache-2.0",
        commercial=True,
        area=area,  # what it was trained at, unless its card says otherwise
        training_data=_RENDERED,
        embedded=True,
        note=note,
    )


def _ppd(name: str, encoder: str, file: str, metrics: Mapping[str, str]) -> WeightsEntry:
    return WeightsEntry(
        name=name,
        family="ppd",
        preset="large",
        encoder=encoder,
        file=file,
        licence=NOT_STATED,
        commercial=None,
        hub_repo="gangweix/Pixel-Perfect-Depth",
        hub_file=file,
        training_data=_PPD_DATA,
        metrics=metrics,
        size_mb=2000,
        note=f"Weight licence not stated (code: Apache-2.0). Runs with {ENCODER_ENTRIES[encoder]}, "
        "whose licence counts too. Address not checked.",
    )


def _dav2(letter: str, size: str, licence: str, size_mb: float) -> WeightsEntry:
    return WeightsEntry(
        name=f"dav2-vit{letter}",
        family="depth_anything_v2",
        preset=f"vit{letter}",
        encoder="dav2",
        file=f"depth_anything_v2_vit{letter}.pth",
        licence=licence,
        commercial=licence != NON_COMMERCIAL,
        hub_repo=f"depth-anything/Depth-Anything-V2-{size}",
        hub_file=f"depth_anything_v2_vit{letter}.pth",
        training_data=_DAV2_DATA,
        size_mb=size_mb,
        note="Semantics only (PPD large needs vitl). Check the model card. Address not checked.",
    )


def _var(preset: str, size_mb: float) -> WeightsEntry:
    return WeightsEntry(
        name=f"var-{preset}",
        family="var",
        preset=preset,
        encoder="",
        file=f"var_{preset}.pth",
        licence=NOT_STATED,
        commercial=None,
        hub_repo="FoundationVision/var",
        hub_file=f"var_{preset}.pth",
        training_data="ImageNet-1k",
        size_mb=size_mb,
        note="Makes images of classes; DepthART starts from it (train.init_from). Weight licence "
        "not stated (code: MIT). Address not checked.",
    )


def _metrics(*pairs: str) -> Mapping[str, str]:
    """AbsRel / delta1 in percent on the five image benchmarks of PPD, as its authors report."""
    return MappingProxyType(
        dict(zip(("NYUv2", "KITTI", "ETH3D", "ScanNet", "DIODE"), pairs, strict=True))
    )


_ALL = (
    _tiny("ppd-tiny", "ppd", area=96 * 128),
    _tiny("depthart-tiny", "depthart"),
    _tiny("var-depth-tiny", "var_depth"),
    _tiny("dar-tiny", "dar", encoder="", area=96 * 128),  # has its own encoder
    _tiny("tiny-encoder", "tiny_encoder"),
    _tiny(
        "ppvd-tiny",
        "ppd_video",
        encoder="tiny_video",
        preset="video_tiny",
        area=96 * 128,
        note="Video: nearfar video CLIP, or load_video in Python. Starts from ppd-tiny.",
    ),
    _tiny(
        "tiny-video-encoder",
        "tiny_video_encoder",
        encoder="tiny_video",
        note="Semantics of clips for ppvd-tiny; its file holds what stands on tiny-encoder.",
    ),
    _ppd(
        "ppd-moge2",
        "moge2",
        "ppd_moge.pth",
        _metrics("3.3/98.2", "5.3/97.0", "3.0/99.1", "3.5/98.1", "5.2/97.0"),
    ),
    _ppd(
        "ppd-dav2",
        "dav2",
        "ppd.pth",
        _metrics("4.1/97.7", "7.0/95.5", "4.3/98.0", "4.6/97.2", "6.8/95.9"),
    ),
    WeightsEntry(
        name="ppvd",
        family="ppd_video",
        preset="video",
        encoder="pi3",
        file="ppvd.pth",
        licence=NOT_STATED,
        commercial=None,
        training_data=f"{_PPD_DATA}, IRS, PointOdyssey (synthetic)",
        size_mb=2250,
        note="Video. Weight licence not stated (code: Apache-2.0). Runs with pi3, whose licence "
        "counts too. No address known: put the file where `nearfar models info ppvd` says.",
    ),
    WeightsEntry(
        name="pi3",
        family="pi3",
        preset="vitl",
        encoder="pi3",
        file="pi3.safetensors",
        licence=NON_COMMERCIAL,
        commercial=False,
        size_mb=3840,
        note="Semantics of clips for ppvd; its heads for points and cameras are left out (code: "
        "BSD-3). No address known: put the file where `nearfar models info pi3` says.",
    ),
    _dav2("s", "Small", "Apache-2.0", 99),
    _dav2("b", "Base", NON_COMMERCIAL, 390),
    _dav2("l", "Large", NON_COMMERCIAL, 1341),
    WeightsEntry(
        name="moge2-vitl",
        family="moge2",
        preset="vitl",
        encoder="moge2",
        file="moge2.pt",
        licence="MIT",
        commercial=True,
        hub_repo="Ruicheng/moge-2-vitl-normal",
        hub_file="model.pt",
        training_data="mixture of synthetic and real sets (see arXiv 2507.02546)",
        size_mb=1320,
        note="Semantics, metric depth and field of view. Address not checked.",
    ),
    WeightsEntry(
        name="depthart",
        family="depthart",
        preset="depthart",
        encoder="",
        file="depthart.safetensors",
        licence=NOT_STATED,
        commercial=None,
        hub_file="DepthART's model.safetensors",
        training_data="Hypersim, from VAR-d16 (ImageNet-1k)",
        size_mb=1680,
        note="Depth up to a factor. On its authors' Google Drive only. Weight licence not stated "
        "(code: MIT).",
    ),
    _var("d16", 1240),
    _var("d20", 2400),
    _var("d24", 4130),
    _var("d30", 8040),
    _var("d36", 9420),
    WeightsEntry(
        name="var-vae",
        family="depth_tokenizer",
        preset="var",
        encoder="",
        file="vae_ch160v4096z32.pth",
        licence=NOT_STATED,
        commercial=None,
        hub_repo="FoundationVision/var",
        hub_file="vae_ch160v4096z32.pth",
        size_mb=436,
        note="The tokenizer of VAR and DepthART at 256 pixels. Weight licence not stated (code: "
        "MIT). Address not checked.",
    ),
    WeightsEntry(
        name="switti-512",
        family="switti",
        preset="512",
        encoder="",
        file="switti.safetensors",
        licence=NOT_STATED,
        commercial=None,
        hub_repo="yresearch/Switti",
        hub_file="model.safetensors",
        size_mb=9880,
        note="Makes images of texts; VAR-Depth starts from it (train.init_from). Weight licence "
        "not stated (code: Apache-2.0). Address and file name not checked.",
    ),
    WeightsEntry(
        name="switti-vae",
        family="depth_tokenizer",
        preset="switti",
        encoder="",
        file="vqvae_switti.safetensors",
        licence=NOT_STATED,
        commercial=None,
        hub_repo="yresearch/VQVAE-Switti",
        hub_file="model.safetensors",
        size_mb=436,
        note="The tokenizer of Switti and VAR-Depth at 512 pixels. Weight licence not stated "
        "(code: Apache-2.0). Address and file name not checked.",
    ),
)

ENTRIES: Mapping[str, WeightsEntry] = MappingProxyType({entry.name: entry for entry in _ALL})


def find(name: str) -> WeightsEntry:
    """The entry of a name, with what its card says; ConfigError naming the nearest otherwise."""
    if name not in ENTRIES:
        near = get_close_matches(name.lower(), ENTRIES, n=1, cutoff=0.4)
        hint = f"Did you mean {near[0]}?" if near else f"Known: {', '.join(ENTRIES)}"
        raise ConfigError(f"model {name!r}", "unknown name and no such file", hint)
    return with_card(ENTRIES[name])


def find_by_file(file_name: str, *, family: str) -> WeightsEntry | None:
    """The entry of this family whose released file has this name, None if there is none."""
    released = [entry for entry in _ALL if entry.family == family and not entry.embedded]
    return next((entry for entry in released if file_name in (entry.file, entry.hub_file)), None)


def weights_folder() -> Path:
    """Where weights are kept on this machine: downloaded, converted, or put there by hand."""
    return cache_folder() / "weights"


def converted_path(entry: WeightsEntry) -> Path:
    """Where the entry's safetensors are, or will be."""
    if entry.embedded:
        return EMBEDDED_FOLDER / entry.file
    return weights_folder() / f"{entry.name}.safetensors"


def local_path(entry: WeightsEntry) -> Path | None:
    """The entry's file on this machine: ours, else a released file put beside; None if absent."""
    candidates = [converted_path(entry)]
    if not entry.embedded:
        candidates.append(weights_folder() / entry.file)
    return next((path for path in candidates if path.is_file()), None)


def with_card(entry: WeightsEntry) -> WeightsEntry:
    """The entry with sha256, size and errors from the card beside an embedded file."""
    weights = EMBEDDED_FOLDER / entry.file
    card_path = weights.with_suffix(".json")
    if not entry.embedded or not card_path.exists():
        return entry
    filled = fill_from_card(entry, card_path)
    if filled.sha256 is None:
        raise WeightsError(card_path, "the card lacks sha256", "Install nearfar again")
    return replace(filled, size_mb=_size_mb(weights) if weights.exists() else None)


def fill_from_card(entry: WeightsEntry, card_path: Path) -> WeightsEntry:
    """The entry with what a card (as `nearfar train` writes it) says.

    A model works by default at the size it was trained at: `default_area`, else the recipe's crop.
    """
    try:
        card = json.loads(card_path.read_text(encoding="utf-8"))
        crop = card.get("recipe", {}).get("data", {}).get("crop") or ()
        area = card.get("default_area") or (math.prod(crop) if crop else entry.area)
        return replace(
            entry,
            sha256=card.get("sha256", entry.sha256),
            metrics=card.get("metrics", card.get("validation")) or _NOTHING,
            uncertainty=dict(card.get("uncertainty") or _NOTHING),
            training_data=str(card.get("training_data", entry.training_data)),
            licence=str(card.get("licence", entry.licence)),
            steps=card.get("default_steps", entry.steps),
            area=None if area is None else int(area),
            guidance=card.get("default_guidance", entry.guidance),
            mode=card.get("default_mode", entry.mode),
            start=card.get("default_ensemble_start", entry.start),
        )
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise WeightsError(
            card_path, f"the card is unreadable ({error})", "Export or install again"
        ) from error


def _size_mb(path: Path) -> float:
    return round(path.stat().st_size / 1e6, 1)
