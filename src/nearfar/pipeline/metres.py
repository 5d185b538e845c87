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
_MUCH_SKY = 0.9  # share of a photo from which on its sky is worth a note
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


def note_sky(result: DepthResult, where: str) -> None:
    """Log one line if most of a photo is taken for sky."""
    if is_nearly_sky(result):
        _LOG.warning(
            "%s: %.3g %% of it is taken for sky and has no depth; "
            "if it shows no sky, use another model or take metres from one (--metric-from)",
            where,
            100 * _sky_share(result),
        )


def is_nearly_sky(result: DepthResult) -> bool:
    """Whether at most a tenth of the map is something else than sky (or transparent)."""
    return _sky_share(result) > _MUCH_SKY


def _sky_share(result: DepthResult) -> float:
    if result.sky is None or not result.sky.any():
        return 0.0
    return float(result.sky.sum() / (result.sky | result.valid).sum())


def can_measure(reference: Reference, opaque_HW: NDArray[np.bool_]) -> bool:
    """Whether the reference has metres for what is not sky (nothing is needed where all is sky)."""
    seen_HW = reference.valid_HW & opaque_HW
    return bool((_usable(reference) & opaque_HW).any() or not seen_HW.any())


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
    merged: Ensemble,
    reference: Reference,
    *,
    kind: DepthKind,
    generator: np.random.Generator,
    opaque_HW: NDArray[np.bool_] | None = None,
) -> Metres:
    """The merged map in metres, positive everywhere; NaN where the reference sees nothing but sky.

    RANSAC of the map against the reference in the kind's space, then clipped to half the
    reference's nearest and twice its farthest depth. Released code: clipped to the range itself,
    which flattens what a blurred reference has averaged away. Uncertainty: times the local slope.
    opaque_HW: the pixels that count for the fit, all by default.
    """
    usable_HW = _usable(reference)
    if opaque_HW is not None:
        usable_HW &= opaque_HW
    if not usable_HW.any():
        nothing_HW = np.full(merged.depth_HW.shape, np.nan, np.float32)
        return Metres(nothing_HW, None if merged.uncertainty_HW is None else nothing_HW)
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
