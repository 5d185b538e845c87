"""Metres and the camera: what the model's metric reference, EXIF or the user know.

A generative map is known up to the freedom of its kind; an encoder's own metric guess fixes it by
a robust line (docs/ppd.md sections 8 and 9), as the published point clouds of PPD do.
"""

from __future__ import annotations

import logging
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from nearfar.geometry.alignment import apply_affine, fit_affine_ransac
from nearfar.geometry.camera import fov_from_intrinsics, intrinsics_from_focal, intrinsics_from_fov
from nearfar.result import DepthKind, DepthResult

from .ensemble import Ensemble

_LOG = logging.getLogger(__name__)
_SLACK = 2.0  # how far beyond the reference's own range the fitted metres may go
_LEAST_SHARE = 0.01  # of the pixels must be usable in the reference
_NEAREST_M = 1e-3


class Reference(NamedTuple):
    """A metric reference in numpy at network size; fields as in models.base.MetricReference."""

    depth_HW: NDArray[np.float32]
    valid_HW: NDArray[np.bool_]
    fov_x_deg: float
    name: str


class Metres(NamedTuple):
    """depth_HW: metres, positive. uncertainty_HW: metres, or None where nothing is known of it."""

    depth_HW: NDArray[np.float32]
    uncertainty_HW: NDArray[np.float32] | None


class Camera(NamedTuple):
    """intrinsics_33: pixels of the photo. fov_x_deg: horizontal. Both None if nobody knows."""

    intrinsics_33: NDArray[np.float64] | None
    fov_x_deg: float | None


def trusted(reference: Reference | None) -> Reference | None:
    """The reference, or None (and a warning) if it is usable on under 1 % of the photo.

    An encoder that takes nearly everything for sky, or whose points no camera sees, is lost, and so
    would be its sky mask.
    """
    if reference is None:
        return None
    share = float(_usable(reference).mean())
    if share < _LEAST_SHARE:
        _LOG.warning(
            "the metric reference %s knows %.3g %% of the photo (all sky, or points that fit no "
            "camera): no metres, no sky given",
            reference.name,
            100 * share,
        )
        return None
    return reference


def reference_of(result: DepthResult, size_hw: tuple[int, int]) -> Reference:
    """A metric result of another model as the reference of a map of that size, by nearest pixel."""
    rows, columns = (
        ((np.arange(n) + 0.5) * full / n).astype(int) for n, full in zip(size_hw, result.size_hw)
    )
    cells = np.ix_(rows, columns)
    fov_x_deg = 0.0 if result.fov_x_deg is None else float(result.fov_x_deg)
    depth_HW = np.nan_to_num(result.depth[cells]).astype(np.float32)
    return Reference(depth_HW, result.valid[cells], fov_x_deg, result.model or "other")


def to_metres(
    merged: Ensemble, reference: Reference, *, kind: DepthKind, generator: np.random.Generator
) -> Metres:
    """The merged map in metres, positive everywhere.

    RANSAC of the map against the reference in the kind's space, then clipped to half the
    reference's nearest and twice its farthest depth. Released code: clipped to the range itself,
    which flattens what a blurred reference has averaged away. Uncertainty: times the local slope.
    """
    usable_HW = _usable(reference)
    fit = fit_affine_ransac(
        merged.depth_HW, reference.depth_HW, usable_HW, kind=kind, generator=generator
    )
    metres_HW = apply_affine(merged.depth_HW, scale=fit.scale, shift=fit.shift, kind=kind)
    known = reference.depth_HW[usable_HW]
    metres_HW = np.clip(metres_HW, *plausible_range(known))
    if merged.uncertainty_HW is None:
        return Metres(metres_HW, None)
    slope = fit.scale * (metres_HW + 1) if kind is DepthKind.AFFINE_LOG_DEPTH else fit.scale
    return Metres(metres_HW, (merged.uncertainty_HW * slope).astype(np.float32))


def plausible_range(known: NDArray[np.float32]) -> tuple[float, float]:
    """Nearest and farthest metres that a map may have whose reference holds these values."""
    return max(_NEAREST_M, float(known.min()) / _SLACK), float(known.max()) * _SLACK


def choose_camera(
    size_hw: tuple[int, int],
    *,
    fov_x_deg: float | None,
    focal_px: float | None,
    reference: Reference | None,
) -> Camera:
    """The camera of the photo: the user's field of view, else EXIF, else the reference's guess."""
    if fov_x_deg is not None:
        return Camera(intrinsics_from_fov(fov_x_deg, size_hw), fov_x_deg)
    if focal_px is not None:
        intrinsics_33 = intrinsics_from_focal(focal_px, size_hw)
        return Camera(intrinsics_33, fov_from_intrinsics(intrinsics_33, size_hw))
    if reference is not None and 1 <= reference.fov_x_deg <= 179:
        return Camera(intrinsics_from_fov(reference.fov_x_deg, size_hw), reference.fov_x_deg)
    return Camera(None, None)


def _usable(reference: Reference) -> NDArray[np.bool_]:
    depth_HW = reference.depth_HW
    return reference.valid_HW & np.isfinite(depth_HW) & (depth_HW > 0)
