"""Binary PLY point clouds, little endian, metres; the axes are named in a comment."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np

from nearfar.geometry.clouds import PointCloud

from ..atomic import atomic_path

Axes = Literal["opencv", "opengl"]

_COMMENTS = {
    "opencv": "axes opencv: x right, y down, z forward",
    "opengl": "axes opengl: x right, y up, z backward",
}


def write_ply(cloud: PointCloud, path: Path, *, axes: Axes = "opencv") -> None:
    """Write x y z float32 and, where present, red green blue uint8."""
    layout = [("x", "<f4"), ("y", "<f4"), ("z", "<f4")]
    if cloud.colors_P3 is not None:
        layout += [("red", "u1"), ("green", "u1"), ("blue", "u1")]
    vertices = np.empty(len(cloud.points_P3), np.dtype(layout))
    signs = (1, 1, 1) if axes == "opencv" else (1, -1, -1)
    for i, name in enumerate("xyz"):
        vertices[name] = cloud.points_P3[:, i] * signs[i]
    if cloud.colors_P3 is not None:
        for i, name in enumerate(("red", "green", "blue")):
            vertices[name] = cloud.colors_P3[:, i]
    types = {"<f4": "float", "u1": "uchar"}
    header = [
        "ply",
        "format binary_little_endian 1.0",
        "comment written by nearfar",
        f"comment {_COMMENTS[axes]}",
        "comment unit metre",
        f"element vertex {len(vertices)}",
        *(f"property {types[kind]} {name}" for name, kind in layout),
        "end_header",
    ]
    with atomic_path(path) as temporary, open(temporary, "wb") as file:
        file.write(("\n".join(header) + "\n").encode("ascii"))
        file.write(vertices.tobytes())
