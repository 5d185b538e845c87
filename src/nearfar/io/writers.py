"""Results into files: one table of formats, every file complete or absent.

`<stem>_depth.png` is metric (millimetres); other kinds are `<stem>_affine_log_depth.png` and so on,
so that no reader takes relative values for metres. The same holds for pfm.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from nearfar.errors import ConfigError
from nearfar.geometry.clouds import CloudOptions, point_cloud
from nearfar.geometry.meshes import depth_mesh
from nearfar.result import DepthKind, DepthResult

from .atomic import ensure_folder
from .depth import exr, npz, pfm, png16
from .depth.metadata import KIND_SUFFIXES
from .images import write_picture
from .scene.glb import write_glb
from .scene.ply import write_ply


@dataclass(frozen=True, kw_only=True, slots=True)
class Writer:
    """One format. suffix: end of the file name, after the kind's own where `names_kind`.

    needs: field of the result without which there is nothing to write.
    """

    suffix: str
    write: Callable[[DepthResult, Path, CloudOptions], None]
    names_kind: bool = False
    is_scene: bool = False
    needs: str | None = None


def _depth(write: Callable[[DepthResult, Path], None]) -> Callable[..., None]:
    return lambda result, path, _cloud: write(result, path)


def _write_vis(result: DepthResult, path: Path, _cloud: CloudOptions) -> None:
    write_picture(result.visualise(), path)


def _write_side(result: DepthResult, path: Path, _cloud: CloudOptions) -> None:
    write_picture(result.beside_photo(), path)


def _write_ply(result: DepthResult, path: Path, cloud: CloudOptions) -> None:
    points = point_cloud(
        result.depth,
        result.require_camera(),
        usable_HW=_usable(result),
        image_HW3=result.image,
        options=cloud,
    )
    write_ply(points, path)


def _write_glb(result: DepthResult, path: Path, cloud: CloudOptions) -> None:
    mesh = depth_mesh(
        result.depth,
        result.require_camera(),
        usable_HW=_usable(result),
        image_HW3=result.image,
        relative=cloud.relative if cloud.edge_filter else np.inf,
        max_vertices=cloud.max_points,
    )
    write_glb(mesh, path, image_HW3=result.image)


WRITERS = {
    "png16": Writer(suffix=".png", write=_depth(png16.write), names_kind=True),
    "npz": Writer(suffix="_depth.npz", write=_depth(npz.write)),
    "exr": Writer(suffix="_depth.exr", write=_depth(exr.write)),
    "exr-rgb": Writer(suffix="_depth.exr", write=_depth(exr.write_with_rgb)),
    "pfm": Writer(suffix=".pfm", write=_depth(pfm.write), names_kind=True),
    "uncertainty": Writer(
        suffix="_uncertainty.png", write=_depth(png16.write_uncertainty), needs="uncertainty"
    ),
    "vis": Writer(suffix="_vis.png", write=_write_vis),
    "side": Writer(suffix="_side.png", write=_write_side),
    "ply": Writer(suffix=".ply", write=_write_ply, is_scene=True),
    "glb": Writer(suffix=".glb", write=_write_glb, is_scene=True),
}


def save_result(
    result: DepthResult,
    folder: str | Path,
    formats: Sequence[str],
    *,
    stem: str = "depth",
    cloud: CloudOptions | None = None,
) -> list[Path]:
    """Write the result in the named formats into `folder` (made if needed); the files written.

    Older files of the same names are replaced, each in one step. Before anything is written:
    ConfigError for an unknown format, MetricError for ply or glb without metres or camera.
    `cloud` filters and thins ply, and its edge filter and size limit hold for glb.
    """
    formats = check_formats(formats)
    if any(WRITERS[name].is_scene for name in formats):
        result.require_camera()
    folder = ensure_folder(folder)
    written = []
    for name in formats:
        path = folder / file_name(name, stem, result.kind)
        WRITERS[name].write(result, path, cloud or CloudOptions())
        written.append(path)
    return written


def check_formats(formats: Iterable[str]) -> list[str]:
    """The formats, each once; ConfigError names the first unknown one and its likely meaning.

    exr-rgb holds all that exr does in a file of the same name, and takes its place.
    """
    names = list(dict.fromkeys(formats))
    if "exr-rgb" in names:
        names = [name for name in names if name != "exr"]
    for name in names:
        if name not in WRITERS:
            near = get_close_matches(name, WRITERS, n=1)
            hint = f"Did you mean {near[0]}? " if near else ""
            raise ConfigError(
                "save", f"unknown format {name!r}", f"{hint}Formats: {', '.join(WRITERS)}"
            )
    return names


def file_name(format_name: str, stem: str, kind: DepthKind) -> str:
    """The name of one output file."""
    writer = WRITERS[format_name]
    return f"{stem}{KIND_SUFFIXES[kind] if writer.names_kind else ''}{writer.suffix}"


def existing_outputs(folder: str | Path, formats: Iterable[str], *, stem: str) -> list[Path]:
    """Files that saving these formats under this stem could replace, whatever the map's kind."""
    names = possible_names(check_formats(formats), stem=stem)
    return sorted(path for name in names if (path := Path(folder) / name).exists())


def possible_names(formats: Iterable[str], *, stem: str) -> set[str]:
    """Every name that saving these formats under this stem could write, of any kind of map."""
    return {file_name(name, stem, kind) for name in formats for kind in DepthKind}


def _usable(result: DepthResult) -> NDArray[np.bool_]:
    return result.valid if result.sky is None else result.valid & ~result.sky
