"""Pure functions on depth maps, cameras and points; may import only errors.

Numpy (usable without torch, by io and viz):
camera.py       intrinsics and field of view
clouds.py       back-projection, point clouds, statistical outlier filter
neighbors.py   exact nearest-neighbor distances of unordered points
meshes.py       triangle mesh of a depth map, cut at depth edges
edges.py        pixels beside depth jumps
canny.py        OpenCV's Canny edges of an 8-bit picture
alignment.py    scale and shift of a map against a reference: least squares, RANSAC
fits.py         evaluation alignments by least squares and medians, nothing repaired
robust_fits.py  evaluation alignments by exact weighted L1 (depths, points) and RANSAC
l1_search.py    exact minima of weighted L1 losses over lines through samples
masked_resize.py  nearest resize of a map with holes, by MoGe's float32 recipe
upsample.py     nearest and photo-guided up-sampling that never invents a depth

Torch:
depth_space.py  log, inverse and normalized depth
gradient_loss.py  multi-scale gradient loss of depth maps
depth_curves.py  depth maps as images in -1..1 by linear, log and square-root disparity curves
squares.py      photos and depth maps squashed to a tokenizer's square
snap.py         slopes of a coarse map made steps where the photo has its edges
resize.py       network sizes and resizing with stated parity
"""

from typing import TYPE_CHECKING

from nearfar.public import lazy_names

if TYPE_CHECKING:
    from .alignment import apply_affine, fit_affine
    from .camera import intrinsics_from_fov
    from .clouds import CloudOptions, backproject, point_cloud
    from .edges import depth_edges
    from .meshes import depth_mesh

__all__ = [
    "CloudOptions",
    "apply_affine",
    "backproject",
    "depth_edges",
    "depth_mesh",
    "fit_affine",
    "intrinsics_from_fov",
    "point_cloud",
]

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "CloudOptions": "clouds",
        "apply_affine": "alignment",
        "backproject": "clouds",
        "depth_edges": "edges",
        "depth_mesh": "meshes",
        "fit_affine": "alignment",
        "intrinsics_from_fov": "camera",
        "point_cloud": "clouds",
    },
)
