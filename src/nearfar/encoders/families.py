"""What encoders say about themselves (nearfar/family.py)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from nearfar.errors import WeightsError
from nearfar.family import (
    NON_COMMERCIAL,
    Family,
    NetworkKind,
    NetworkParts,
    Recognized,
    ReleasedFile,
    ReleasedForm,
    WeightsEntry,
    embedded,
)

if TYPE_CHECKING:
    from torch import Tensor

PPDS_MOGE2 = "moge2.pt"  # what PPD calls the file; its copy of MoGe makes the token grid otherwise
_DAV2_DATA = "595 K synthetic images for the teacher, its labels on 62 M photos for these weights"


def _tiny() -> NetworkParts:
    from .tiny import PRESETS, TinyEncoder, TinyEncoderConfig

    return NetworkParts(TinyEncoderConfig, TinyEncoder, PRESETS)


def _photo() -> NetworkParts:
    from .photo import PRESETS, PhotoEncoder, PhotoEncoderConfig

    return NetworkParts(PhotoEncoderConfig, PhotoEncoder, PRESETS)


def _dav2() -> NetworkParts:
    from .depth_anything_v2 import DepthAnythingV2
    from .dinov2 import PRESETS, DinoV2Config

    return NetworkParts(DinoV2Config, DepthAnythingV2, PRESETS)


def _moge2() -> NetworkParts:
    from .moge2 import MoGe2
    from .moge2_config import PRESETS, MoGe2Config

    return NetworkParts(MoGe2Config, MoGe2, PRESETS)


def _pi3() -> NetworkParts:
    from .pi3 import PRESETS, Pi3, Pi3Config

    return NetworkParts(Pi3Config, Pi3, PRESETS)


def _tiny_video() -> NetworkParts:
    from .tiny_video import PRESETS, TinyVideoConfig, TinyVideoEncoder

    return NetworkParts(TinyVideoConfig, TinyVideoEncoder, PRESETS)


def _dav2_entry(letter: str, size: str, licence: str, size_mb: float) -> WeightsEntry:
    return WeightsEntry(
        name=f"dav2-vit{letter}",
        family="depth_anything_v2",
        preset=f"vit{letter}",
        encoder="dav2",
        file=f"depth_anything_v2_vit{letter}.pth",
        licence=licence,
        is_encoder=True,
        commercial=licence != NON_COMMERCIAL,
        hub_repo=f"depth-anything/Depth-Anything-V2-{size}",
        hub_file=f"depth_anything_v2_vit{letter}.pth",
        training_data=_DAV2_DATA,
        size_mb=size_mb,
        note="Semantics only (PPD large needs vitl). Check the model card. Address not checked.",
    )


def _is_moge2(tensors: Mapping[str, Tensor], prefixes: frozenset[str]) -> bool:
    has_trunk = any(name.startswith("encoder.backbone.") for name in tensors)
    return has_trunk and not any(name.startswith("decoder.update.") for name in tensors)


def _is_pi3(tensors: Mapping[str, Tensor], prefixes: frozenset[str]) -> bool:
    return "register_token" in tensors


def _is_dav2(tensors: Mapping[str, Tensor], prefixes: frozenset[str]) -> bool:
    return "patch_embed.proj.weight" in tensors and "cls_token" in tensors


def _read_moge2(file: ReleasedFile) -> Recognized:
    from .moge2_config import config_of

    is_ppds = file.path.name == PPDS_MOGE2
    config = config_of(
        file.tensors,
        model_config=file.model_config,
        where=file.path,
        grid_rounding="down" if is_ppds else "nearest",
    )
    tag = _tag(file, "moge2")
    return Recognized(kind="moge2", config=config, tensors=dict(file.tensors), encoder=tag)


def _read_pi3(file: ReleasedFile) -> Recognized:
    from .pi3 import from_published

    tag = _tag(file, "pi3")
    found = from_published(file.tensors, where=file.path)
    dropped = [name for name in file.tensors if name not in found.tensors]
    return Recognized(
        kind="pi3", config=found.config, tensors=found.tensors, encoder=tag, dropped=dropped
    )


def _read_dav2(file: ReleasedFile) -> Recognized:
    from .dinov2 import config_of

    tag, config = _tag(file, "dav2"), config_of(file.tensors)
    if "pretrained." not in file.prefixes and file.asked != "dav2":
        raise WeightsError(
            file.path,
            "a bare DINOv2, which need not be that of Depth Anything V2",
            "If it is: nearfar models convert --encoder dav2",
        )
    tensors = {f"pretrained.{name}": tensor for name, tensor in file.tensors.items()}
    return Recognized(kind="depth_anything_v2", config=config, tensors=tensors, encoder=tag)


def _tag(file: ReleasedFile, found: str) -> str:
    if file.asked not in (None, found):
        raise WeightsError(file.path, f"an encoder file of {found}, not {file.asked}")
    return found


TINY = Family(
    name="tiny_encoder",
    position=10,
    networks=(NetworkKind(name="tiny_encoder", parts=_tiny, is_encoder=True, is_exact=True),),
    entries=(embedded("tiny-encoder", "tiny_encoder", is_encoder=True),),
    serves={"tiny": "tiny-encoder"},
)
PHOTO = Family(
    name="photo_encoder",
    position=11,
    networks=(NetworkKind(name="photo_encoder", parts=_photo, is_encoder=True, is_exact=True),),
    entries=(
        embedded(
            "photo-encoder",
            "photo_encoder",
            encoder="photo",
            preset="photo",
            note="Backbone: EfficientNet-Lite2, trained on ImageNet by Google (Apache-2.0), in the "
            "PyTorch conversion by ML Illustrated (Apache-2.0); then rendered scenes.",
            is_encoder=True,
        ),
    ),
    serves={"photo": "photo-encoder"},
)
TINY_VIDEO = Family(
    name="tiny_video_encoder",
    position=12,
    networks=(
        NetworkKind(
            name="tiny_video_encoder",
            parts=_tiny_video,
            is_encoder=True,
            is_exact=True,
            stem="stem.",
        ),
    ),
    entries=(
        embedded(
            "tiny-video-encoder",
            "tiny_video_encoder",
            encoder="tiny_video",
            note="Semantics of clips for ppvd-tiny; its file holds what stands on tiny-encoder.",
            is_encoder=True,
        ),
    ),
    serves={"tiny_video": "tiny-video-encoder"},
)
MOGE2 = Family(
    name="moge2",
    position=14,
    networks=(NetworkKind(name="moge2", parts=_moge2, is_encoder=True),),
    entries=(
        WeightsEntry(
            name="moge2-vitl",
            family="moge2",
            preset="vitl",
            encoder="moge2",
            file=PPDS_MOGE2,
            licence="MIT",
            is_encoder=True,
            commercial=True,
            hub_repo="Ruicheng/moge-2-vitl-normal",
            hub_file="model.pt",
            training_data="mixture of synthetic and real sets (see arXiv 2507.02546)",
            size_mb=1320,
            note="Semantics, metric depth and field of view, with the token grid of PPD's copy "
            "(MoGe's own: load its model.pt by path). Address not checked.",
        ),
    ),
    serves={"moge2": "moge2-vitl"},
    forms=(ReleasedForm(name="moge2", is_this=_is_moge2, read=_read_moge2),),
)
PI3 = Family(
    name="pi3",
    position=15,
    networks=(NetworkKind(name="pi3", parts=_pi3, is_encoder=True),),
    entries=(
        WeightsEntry(
            name="pi3",
            family="pi3",
            preset="vitl",
            encoder="pi3",
            file="pi3.safetensors",
            licence=NON_COMMERCIAL,
            is_encoder=True,
            commercial=False,
            size_mb=3840,
            note="Semantics of clips for ppvd; its heads for points and cameras are left out "
            "(code: BSD-3). No address known: put the file where `nearfar models info pi3` "
            "says.",
        ),
    ),
    serves={"pi3": "pi3"},
    forms=(ReleasedForm(name="pi3", is_this=_is_pi3, read=_read_pi3),),
)
DEPTH_ANYTHING_V2 = Family(
    name="depth_anything_v2",
    position=13,
    networks=(NetworkKind(name="depth_anything_v2", parts=_dav2, is_encoder=True),),
    entries=(
        _dav2_entry("s", "Small", "Apache-2.0", 99),
        _dav2_entry("b", "Base", NON_COMMERCIAL, 390),
        _dav2_entry("l", "Large", NON_COMMERCIAL, 1341),
    ),
    serves={"dav2": "dav2-vitl"},
    forms=(ReleasedForm(name="depth_anything_v2", is_this=_is_dav2, read=_read_dav2),),
    prefixes=("pretrained.",),
)

FAMILIES = (TINY, PHOTO, TINY_VIDEO, MOGE2, PI3, DEPTH_ANYTHING_V2)
