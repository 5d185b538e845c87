"""iBims-1: 100 indoor photos with laser depth, occlusion edges and planes (docs/datasets.md).

Two layouts: `ibims1_core_raw` (pictures and text files) and `ibims1_core_mat` (a struct each).
Depth is png * 50 / 65535 metres. Despite their names, `mask_invalid` and `mask_transp` are 0 where
depth must not be used. A plane of the record is n.x = offset in camera axes; the files state n in
axes x right, y into the scene, z up, and the offset is the median of n.x over the plane's pixels.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from nearfar.errors import DataError

from ..decode import numbers_of, picture_of, png16_of, rgb_of, same_size, text_of
from ..lists import natural_key, parse_list
from ..record import DepthRecord, Plane
from ..store import Store
from .frames import FrameDataset, centered_at_half, in_list_order, one_plane, where_known

PLANES = ("wall", "floor", "table")
_METRES_PER_CODE = 50 / 65535
_PLANE_COLUMNS = 7  # of a row of plane parameters; the last three are the normal


class IbimsFrame(NamedTuple):
    """One image: the folder its parts lie in, its name, and whether planes are read."""

    sample_id: str
    photo: str
    folder: str
    name: str
    with_planes: bool


def open_ibims(
    store: Store, *, split: str, list_file: str | Path | None, options: Mapping[str, str]
) -> FrameDataset[IbimsFrame]:
    """All images of `imagelist.txt` (without one, of the folder), or those of a list.

    Options: layout auto, raw or mat; planes yes or no.
    """
    layout, planes = options.get("layout", "auto"), options.get("planes", "yes") == "yes"
    if layout in ("auto", "raw"):
        for folder in ("ibims1_core_raw/", ""):
            names = _raw_names(store, folder)
            if names:
                frames = [
                    IbimsFrame(f"ibims/{name}", f"{folder}rgb/{name}.png", folder, name, planes)
                    for name in names
                ]
                return FrameDataset(store, in_list_order(frames, list_file, store), _read_raw)
    if layout in ("auto", "mat"):
        for folder in ("ibims1_core_mat/", ""):
            files = [n for n in store.names(folder) if n[len(folder) :].endswith(".mat")]
            files = [name for name in files if "/" not in name[len(folder) :]]
            if files:
                stems = sorted((Path(name).stem for name in files), key=natural_key)
                frames = [
                    IbimsFrame(f"ibims/{stem}", f"{folder}{stem}.mat", folder, stem, planes)
                    for stem in stems
                ]
                return FrameDataset(store, in_list_order(frames, list_file, store), _read_mat)
    raise store.nothing_found("ibims1_core_raw/imagelist.txt", "rgb/*.png", "ibims1_core_mat/*.mat")


def _raw_names(store: Store, folder: str) -> list[str]:
    """The images of the raw layout in a folder, [] if it is not there."""
    listed = f"{folder}imagelist.txt"
    if store.exists(listed):
        where = store.where(listed)
        lines = parse_list(text_of(store.read(listed), where), where, columns=(1, 1))
        names = [line.path(0).removesuffix(".png") for line in lines]
        for line, name in zip(lines, names, strict=True):
            if not store.exists(f"{folder}rgb/{name}.png"):
                raise DataError(line.where, f"{folder}rgb/{name}.png is not there")
        return names
    found = [name for name in store.names(f"{folder}rgb") if name.endswith(".png")]
    return sorted((Path(name).stem for name in found), key=natural_key)


def _read_raw(store: Store, frame: IbimsFrame) -> DepthRecord:
    """One image of the raw layout."""
    sources: list[str] = []

    def part(kind: str, suffix: str = ".png") -> tuple[bytes, str]:
        name = f"{frame.folder}{kind}/{frame.name}{suffix}"
        sources.append(name)
        return store.read(name), store.where(name)

    rgb = rgb_of(*part("rgb"))
    content, depth_where = part("depth")
    codes = png16_of(content, depth_where)
    same_size(codes, rgb, depth_where)
    masks = {}
    for kind in ("mask_invalid", "mask_transp", "edges"):
        content, where = part(kind)
        masks[kind] = one_plane(picture_of(content, where), codes, where) > 0
    fx, fy, cx, cy = numbers_of(*part("calib", ".txt"), count=4)
    labels, rows = {}, {}
    for kind in PLANES if frame.with_planes else ():
        if store.exists(f"{frame.folder}mask_{kind}/{frame.name}.png"):
            content, where = part(f"mask_{kind}")
            labels[kind] = one_plane(picture_of(content, where), codes, where)
            if labels[kind].any():
                content, where = part(f"mask_{kind}", ".txt")
                rows[kind] = _plane_rows(numbers_of(content, where), where)
    return _record(
        frame,
        rgb=rgb,
        depth=codes.astype(np.float64) * _METRES_PER_CODE,
        camera=(fx, fy, cx, cy),
        masks=masks,
        labels=labels,
        rows=rows,
        sources=tuple(sources),
        where=depth_where,
    )


def _read_mat(store: Store, frame: IbimsFrame) -> DepthRecord:
    """One image of the struct layout; its calibration matrix is transposed."""
    where = store.where(frame.photo)
    data = _struct_of(store.read(frame.photo), where)
    stored = np.asarray(data["depth"])
    depth = stored.astype(np.float64) * (_METRES_PER_CODE if stored.dtype.kind in "iu" else 1)
    rgb = np.ascontiguousarray(data["rgb"], np.uint8)
    same_size(depth, rgb, where)
    calib = np.asarray(data["calib"], np.float64)
    if calib.shape != (3, 3):
        raise DataError(where, f"calib is {list(calib.shape)}, not 3x3")
    center = calib[2, :2] if calib[2, :2].any() else calib[:2, 2]
    labels, rows = {}, {}
    for kind in PLANES if frame.with_planes else ():
        if f"mask_{kind}" in data:
            labels[kind] = one_plane(np.asarray(data[f"mask_{kind}"]), depth, where)
            if labels[kind].any():
                parameters = np.asarray(data.get(f"mask_{kind}_paras", ()), np.float64)
                rows[kind] = _plane_rows(parameters.ravel(), where)
    return _record(
        frame,
        rgb=rgb,
        depth=np.where(np.isfinite(depth), depth, 0),
        camera=(calib[0, 0], calib[1, 1], center[0], center[1]),
        masks={
            kind: one_plane(np.asarray(data[kind]), depth, where) > 0
            for kind in ("mask_invalid", "mask_transp", "edges")
        },
        labels=labels,
        rows=rows,
        sources=(frame.photo,),
        where=where,
    )


def _struct_of(content: bytes, where: str) -> dict[str, Any]:
    """The fields of the struct `data` of a .mat file."""
    import io

    from nearfar.extras import load_extra

    scipy_io = load_extra("scipy.io", extra="eval")
    try:
        loaded = scipy_io.loadmat(io.BytesIO(content), variable_names=["data"])
        struct = loaded["data"]
        fields = {name: struct[name].flat[0] for name in struct.dtype.names}
    except Exception as error:  # the decoder raises nearly anything on damaged bytes
        raise DataError(
            where, f"is not an iBims struct ({error!r})", "Get a complete copy"
        ) from error
    for name in ("rgb", "depth", "edges", "calib", "mask_invalid", "mask_transp"):
        if name not in fields:
            raise DataError(where, f"its struct has no field {name}")
    return fields


def _plane_rows(numbers: NDArray[np.float64], where: str) -> NDArray[np.float64]:
    """Rows of plane parameters; the normal of each has length 1."""
    if len(numbers) % _PLANE_COLUMNS:
        finding = f"has {len(numbers)} numbers, not {_PLANE_COLUMNS} per plane"
        raise DataError(where, finding, "Read without planes: option planes=no")
    rows = numbers.reshape(-1, _PLANE_COLUMNS)
    lengths = np.linalg.norm(rows[:, 4:], axis=1)
    if not np.isfinite(rows).all() or (lengths == 0).any():
        raise DataError(where, "a plane has no normal", "Read without planes: option planes=no")
    return rows


def _record(
    frame: IbimsFrame,
    *,
    rgb: NDArray[np.uint8],
    depth: NDArray[np.float64],
    camera: tuple[float, float, float, float],
    masks: dict[str, NDArray[np.bool_]],
    labels: dict[str, NDArray[Any]],
    rows: dict[str, NDArray[np.float64]],
    sources: tuple[str, ...],
    where: str,
) -> DepthRecord:
    """The record of what either layout holds."""
    valid = (depth > 0) & masks["mask_invalid"] & masks["mask_transp"]
    intrinsics = centered_at_half(*camera)
    planes = []
    for kind, label in labels.items():
        parameters = rows.get(kind, np.zeros((0, _PLANE_COLUMNS)))
        if int(label.max()) > len(parameters):
            finding = f"mask_{kind} has plane {int(label.max())}, its file {len(parameters)} rows"
            raise DataError(where, finding, "Read without planes: option planes=no")
        for index, row in enumerate(parameters):
            mask = label == index + 1
            planes.append(_plane(f"{kind}_{index + 1}", mask, row[4:7], depth * valid, intrinsics))
    return DepthRecord(
        sample_id=frame.sample_id,
        scene=frame.name,
        rgb_HW3=rgb,
        depth_HW=where_known(depth, valid),
        valid_HW=valid,
        intrinsics_33=intrinsics,
        edges_HW=masks["edges"],
        planes=tuple(planes),
        masks={"not_invalid": masks["mask_invalid"], "not_transparent": masks["mask_transp"]},
        sources=sources,
        notes={"camera_in_file": tuple(float(value) for value in camera)},
    )


def _plane(
    name: str,
    mask: NDArray[np.bool_],
    stated_3: NDArray[np.float64],
    depth: NDArray[np.float64],
    intrinsics: NDArray[np.float64],
) -> Plane:
    """The plane in camera axes; offset NaN if no pixel of it has depth."""
    normal = np.array([stated_3[0], -stated_3[2], stated_3[1]])
    normal = normal / np.linalg.norm(normal)
    y, x = np.nonzero(mask & (depth > 0))
    z = depth[y, x]
    across = (x + 0.5 - intrinsics[0, 2]) / intrinsics[0, 0]
    down = (y + 0.5 - intrinsics[1, 2]) / intrinsics[1, 1]
    along = z * (normal[0] * across + normal[1] * down + normal[2])
    offset = float(np.median(along)) if len(along) else float("nan")
    return Plane(name=name, mask_HW=mask, normal_3=normal, offset=offset)
