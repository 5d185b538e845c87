"""GLB (glTF 2.0) meshes: metres, glTF axes (x right, y up, z backward), the photo as texture."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nearfar.errors import InputError
from nearfar.extras import load_extra
from nearfar.geometry.meshes import DepthMesh

from ..atomic import atomic_path

_TO_GLTF = np.array([1, -1, -1], np.float32)  # from OpenCV axes
_MAX_TEXTURE_PX = 4096  # the side that every viewer can load


def write_glb(mesh: DepthMesh, path: Path, *, image_HW3: NDArray[np.uint8] | None = None) -> None:
    """Write one two-sided, matt mesh; without photo in its vertex colors or plain grey."""
    if not len(mesh.triangles):
        raise InputError(path, "there is no surface to write: no usable neighboring pixels")
    trimesh = load_extra("trimesh", package="trimesh")
    surface = trimesh.Trimesh(
        vertices=mesh.vertices_P3 * _TO_GLTF, faces=mesh.triangles, process=False
    )
    if image_HW3 is not None:
        material = trimesh.visual.material.PBRMaterial(
            baseColorTexture=_texture(image_HW3),
            metallicFactor=0.0,
            roughnessFactor=1.0,
            doubleSided=True,
        )
        # trimesh counts v from the lower edge and turns it for glTF
        uv = np.stack([mesh.uv_P2[:, 0], 1 - mesh.uv_P2[:, 1]], axis=1)
        surface.visual = trimesh.visual.TextureVisuals(uv=uv, material=material)
    elif mesh.colors_P3 is not None:
        surface.visual = trimesh.visual.ColorVisuals(surface, vertex_colors=mesh.colors_P3)
    with atomic_path(path) as temporary:
        temporary.write_bytes(surface.export(file_type="glb"))


def _texture(image_HW3: NDArray[np.uint8]) -> Any:
    """The photo as an opened JPEG, which goes into the file as it is."""
    from PIL import Image

    picture = Image.fromarray(np.ascontiguousarray(image_HW3))
    picture.thumbnail((_MAX_TEXTURE_PX, _MAX_TEXTURE_PX))
    encoded = io.BytesIO()
    picture.save(encoded, format="JPEG", quality=92)
    return Image.open(encoded)
