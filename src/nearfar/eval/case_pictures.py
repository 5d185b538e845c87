"""One image of an evaluation as pictures: photo, truth, prediction, error, uncertainty."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from nearfar.viz.colormap import apply_colormap

from .results import Preview

WORST_ERROR = 0.5  # |d - g| / g that is painted brightest
_LEAST = 1e-3  # metres


def case_pictures(preview: Preview) -> dict[str, NDArray[np.uint8]]:
    """Title -> picture [H,W,3]; what a preview lacks is left out.

    Truth and prediction share their colors (logarithm of depth, near is warm, the range is that of
    the truth); black is unknown. Error: |d - g| / g, black 0, bright 0.5 and more.
    """
    truth_HW = np.asarray(preview.truth, np.float64)
    guess_HW = np.asarray(preview.prediction, np.float64)
    has_truth_HW, has_guess_HW = _known(truth_HW), _known(guess_HW)
    pictures = {"photo": np.ascontiguousarray(preview.rgb)}
    basis = truth_HW[has_truth_HW] if has_truth_HW.any() else guess_HW[has_guess_HW]
    if not len(basis):
        return pictures
    low, high = np.log(np.quantile(basis, (0.02, 0.98)))
    if has_truth_HW.any():
        pictures["truth"] = _painted(truth_HW, has_truth_HW, low, high)
    pictures["prediction"] = _painted(guess_HW, has_guess_HW, low, high)
    both_HW = preview.valid & has_truth_HW & np.isfinite(guess_HW)
    if both_HW.any():
        error_HW = np.zeros_like(truth_HW)
        error_HW[both_HW] = np.abs(guess_HW - truth_HW)[both_HW] / truth_HW[both_HW]
        pictures["error"] = _masked(apply_colormap(error_HW / WORST_ERROR, "magma"), both_HW)
    if preview.uncertainty is not None:
        spread_HW = np.asarray(preview.uncertainty, np.float64)
        known_HW = np.isfinite(spread_HW)
        if known_HW.any():
            top = max(float(np.quantile(spread_HW[known_HW], 0.98)), 1e-9)
            share_HW = np.where(known_HW, spread_HW, 0.0) / top
            pictures["uncertainty"] = _masked(apply_colormap(share_HW, "inferno"), known_HW)
    return pictures


def _known(metres_HW: NDArray[np.float64]) -> NDArray[np.bool_]:
    return np.isfinite(metres_HW) & (metres_HW > 0)


def _painted(
    metres_HW: NDArray[np.float64], known_HW: NDArray[np.bool_], low: float, high: float
) -> NDArray[np.uint8]:
    log_HW = np.log(np.where(known_HW, np.maximum(metres_HW, _LEAST), 1.0))
    share_HW = np.clip((log_HW - low) / max(high - low, 1e-6), 0, 1)
    return _masked(apply_colormap(share_HW, "spectral"), known_HW)


def _masked(picture: NDArray[np.uint8], known_HW: NDArray[np.bool_]) -> NDArray[np.uint8]:
    return np.where(known_HW[..., None], picture, np.uint8(0))
