"""The alignments a protocol can name: from a prediction in its own space to metres.

Definitions: docs/evaluation.md, "Alignments". `ALIGNMENTS[id].align(...)` wants the prediction in
the space of the alignment; `converted` takes a prediction there where a protocol says so. Nothing
is clamped after the fit, except a disparity before it is inverted: caps are the protocol's
(`cap_depth`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from nearfar.errors import ConfigError
from nearfar.geometry import fits
from nearfar.geometry.fits import Fit, valid_pairs
from nearfar.geometry.masked_resize import masked_nearest_source
from nearfar.geometry.robust_fits import L1Fit, fit_ransac_log1p, l1_affine, l1_scale

_DEPTH_FLOOR = 1e-6  # Marigold: final depth is at least this
_VIDEO_NEAREST = 1e-3
_MOGE_BOUNDARY_FLOOR = 1e-6
_MAX_EXPONENT = 80.0  # wild lines give huge but finite metres


@dataclass(frozen=True, kw_only=True, slots=True)
class AlignOptions:
    """What a protocol may set. variant: of `lstsq_disparity`. truncation, samples: of `l1_*`.

    max_depth: `lstsq_disp_video` clips metres to [1e-3, max_depth]. fit_resolution:
    `lstsq_depth` and `lstsq_disparity` fit on columns reduced as in Marigold's ETH3D. trials: of
    `ransac_log1p`.
    """

    variant: str = "marigold"
    truncation: float | None = None
    samples_hw: tuple[int, int] = (64, 64)
    max_depth: float | None = None
    fit_resolution: int | None = None
    trials: int = 1000

    def __post_init__(self) -> None:
        if self.variant not in ("marigold", "moge"):
            raise ConfigError("variant", f"{self.variant!r} is neither marigold nor moge")
        if self.truncation is not None and self.truncation <= 0:
            raise ConfigError("truncation", f"{self.truncation} is not above 0")
        numbers: dict[str, float | None] = {
            "samples_hw": min(self.samples_hw),
            "trials": self.trials,
            "max_depth": self.max_depth,
            "fit_resolution": self.fit_resolution,
        }
        for name, number in numbers.items():
            if number is not None and number <= 0:
                raise ConfigError(name, f"{number} is not above 0")


class Aligned(NamedTuple):
    """depth_HW: float64 metres (or [T,H,W]). scale, shift: of the fit, in its space.

    notes: counters for the result file: degenerate, negative_scale (0 or 1), clipped_share of the
    valid pixels, fallback and inlier_share of RANSAC. boundary_depth_HW: the depth that windowed
    boundary scores take, where it is another one.
    """

    depth_HW: NDArray[np.float64]
    scale: float
    shift: float
    notes: dict[str, float]
    boundary_depth_HW: NDArray[np.float64] | None = None


class FitInput(NamedTuple):
    """What an estimator may look at. The prediction is in the alignment's space."""

    prediction_HW: NDArray
    truth_HW: NDArray
    valid_HW: NDArray[np.bool_]
    options: AlignOptions
    generator: np.random.Generator


class FitResult(NamedTuple):
    """A fitted line, and what there is to note about how it was found."""

    fit: Fit
    notes: dict[str, float]


class Metres(NamedTuple):
    """Depth in metres, and the share of valid pixels that its inversion had to clip."""

    depth_HW: NDArray[np.float64]
    clipped_share: float
    boundary_depth_HW: NDArray[np.float64] | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Alignment:
    """space: what the prediction must be in. scope: image, or clip (all frames in one fit).

    random: the fit draws, so that the seed belongs to the result.
    """

    name: str
    space: str
    value_spaces: tuple[str, ...]
    find: Callable[[FitInput], FitResult]
    to_metres: Callable[[Fit, FitInput], Metres]
    scope: str = "image"
    random: bool = False

    def align(
        self,
        prediction_HW: NDArray,
        truth_HW: NDArray,
        valid_HW: NDArray[np.bool_],
        *,
        options: AlignOptions,
        generator: np.random.Generator,
    ) -> Aligned:
        """Metres of the prediction, fitted on the valid pixels; arrays [H,W], or [T,H,W] clips.

        DataError if nothing is valid, or if the prediction is not finite inside the mask.
        """
        given = FitInput(prediction_HW, truth_HW, valid_HW, options, generator)
        fit, notes = self.find(given)
        depth_HW, clipped_share, boundary_depth_HW = self.to_metres(fit, given)
        notes = {
            "degenerate": float(fit.degenerate),
            "negative_scale": float(fit.scale < 0),
            "clipped_share": clipped_share,
            **notes,
        }
        return Aligned(depth_HW, fit.scale, fit.shift, notes, boundary_depth_HW)


def converted(prediction: NDArray, conversion: str) -> NDArray[np.float64]:
    """A positive prediction in the space a protocol names: disparity 1/p, log1p, log; or as it is.

    Nothing is clipped: where that is undefined (0, negative) the result is not finite, and the fit
    refuses it inside the mask.
    """
    values = prediction.astype(np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        if conversion == "disparity":
            return np.where(values > 0, 1 / values, np.nan)
        if conversion == "log1p":
            return np.log1p(values)
        if conversion == "log":
            return np.log(values)
    if conversion != "none":
        raise ConfigError("conversion", f"unknown {conversion!r}", "none, disparity, log1p or log")
    return values


def cap_depth(
    depth: NDArray[np.float64],
    *,
    low: float = 0.0,
    high: float = np.inf,
    floor: float = _DEPTH_FLOOR,
    replace_nan: bool = False,
) -> NDArray[np.float64]:
    """Depth clipped to [low, high] and then to at least `floor`; NaN stays, unless replaced by low.

    Marigold: low, high, 1e-6. DAR (`replace_nan`): NaN to low, infinity to high, [1e-3, max].
    """
    if not low <= high:
        raise ConfigError("caps", f"the minimum {low} is above the maximum {high}")
    if replace_nan:
        depth = np.where(np.isnan(depth), low, depth)
    return np.maximum(np.clip(depth, low, high), floor)


def reduced_columns(size_hw: tuple[int, int], fit_resolution: int) -> NDArray[np.int64]:
    """Columns of the fit grid: f = min(1, r / H, r / W), column j -> floor(j / f); all rows stay.

    The released Marigold code reduces the last axis only: 4032x6048 at 1024 -> 4032x1024.
    """
    height, width = size_hw
    factor = min(1.0, fit_resolution / height, fit_resolution / width)
    count = int(width * factor)
    return np.minimum((np.arange(count) / factor).astype(np.int64), width - 1)


def find_alignment(name: str) -> Alignment:
    """The alignment of this id; ConfigError names all."""
    if name not in ALIGNMENTS:
        raise ConfigError("alignment", f"unknown {name!r}", f"Use one of {', '.join(ALIGNMENTS)}")
    return ALIGNMENTS[name]


def _unchanged(given: FitInput) -> FitResult:
    valid_pairs(*given[:3])
    return FitResult(Fit(1.0, 0.0, False), {})


def _plain(
    estimator: Callable[[NDArray, NDArray, NDArray], Fit],
) -> Callable[[FitInput], FitResult]:
    """An estimator without options."""
    return lambda given: FitResult(estimator(*given[:3]), {})


def _depth_line(given: FitInput) -> FitResult:
    return FitResult(fits.fit_lstsq_depth(*_fit_grid(given)), {})


def _disparity_line(given: FitInput) -> FitResult:
    return FitResult(fits.fit_lstsq_disparity(*_fit_grid(given), variant=given.options.variant), {})


def _l1(estimator: Callable[..., L1Fit]) -> Callable[[FitInput], FitResult]:
    """Weighted L1 with w = 1 / g on 64x64 samples."""

    def find(given: FitInput) -> FitResult:
        valid_pairs(*given[:3])
        source = masked_nearest_source(given.valid_HW, given.options.samples_hw)
        p_P = source.take(given.prediction_HW).astype(np.float64)
        g_P = source.take(given.truth_HW).astype(np.float64)
        fit = estimator(p_P, g_P, 1 / g_P, truncation=given.options.truncation)
        return FitResult(Fit(fit.scale, fit.shift, fit.degenerate), {"samples": float(p_P.size)})

    return find


def _ransac(given: FitInput) -> FitResult:
    fit = fit_ransac_log1p(*given[:3], generator=given.generator, trials=given.options.trials)
    notes = {"fallback": float(fit.fallback), "inlier_share": fit.inlier_share}
    return FitResult(Fit(fit.scale, fit.shift, False), notes)


def _fit_grid(given: FitInput) -> tuple[NDArray, NDArray, NDArray[np.bool_]]:
    """Prediction, truth and mask as the fit sees them: all columns, or the reduced ones."""
    if given.options.fit_resolution is None:
        return given[:3]
    size_hw = (given.truth_HW.shape[0], given.truth_HW.shape[1])
    columns_w = reduced_columns(size_hw, given.options.fit_resolution)
    return (
        given.prediction_HW[:, columns_w],
        given.truth_HW[:, columns_w],
        given.valid_HW[:, columns_w],
    )


def _line(fit: Fit, values: NDArray) -> NDArray[np.float64]:
    """scale * values + shift in float64."""
    line: NDArray[np.float64] = values.astype(np.float64)
    line *= fit.scale
    line += fit.shift
    return line


def _metres(fit: Fit, given: FitInput) -> Metres:
    return Metres(_line(fit, given.prediction_HW), 0.0)


def _inverse(fit: Fit, given: FitInput) -> Metres:
    """1 / disparity, clipped below at 1e-3, or (MoGe) at 1 / the largest valid truth.

    Released code: for boundaries MoGe clips at 1e-6, so those beyond the farthest truth count.
    """
    disparity = _line(fit, given.prediction_HW)
    if given.options.variant != "moge":
        return _clipped_inverse(disparity, fits.MIN_DISPARITY, given.valid_HW)
    floor = 1 / float(given.truth_HW[given.valid_HW].max())
    depth, clipped_share, _ = _clipped_inverse(disparity, floor, given.valid_HW)
    return Metres(depth, clipped_share, 1 / np.maximum(disparity, _MOGE_BOUNDARY_FLOOR))


def _video_inverse(fit: Fit, given: FitInput) -> Metres:
    """As `_inverse`, of a disparity clipped below at 1e-3 before the fit too; in [1e-3, max]."""
    disparity = _line(fit, np.maximum(given.prediction_HW, fits.MIN_DISPARITY))
    depth, clipped_share, _ = _clipped_inverse(disparity, fits.MIN_DISPARITY, given.valid_HW)
    high = np.inf if given.options.max_depth is None else given.options.max_depth
    return Metres(np.clip(depth, _VIDEO_NEAREST, high), clipped_share)


def _clipped_inverse(
    disparity: NDArray[np.float64], floor: float, valid: NDArray[np.bool_]
) -> Metres:
    clipped_share = float((disparity[valid] < floor).mean())
    return Metres(1 / np.maximum(disparity, floor), clipped_share)


def _expm1(fit: Fit, given: FitInput) -> Metres:
    return Metres(np.expm1(np.minimum(_line(fit, given.prediction_HW), _MAX_EXPONENT)), 0.0)


def _exp(fit: Fit, given: FitInput) -> Metres:
    return Metres(np.exp(np.minimum(_line(fit, given.prediction_HW), _MAX_EXPONENT)), 0.0)


_SPACES = {
    "depth": ("metric", "scale", "affine_depth"),
    "disparity": ("metric", "scale", "affine_disparity"),
    "log1p": ("metric", "affine_log1p"),
    "log": ("metric", "scale", "affine_log"),
}
_ALL = (
    Alignment(
        name="none", space="depth", value_spaces=("metric",), find=_unchanged, to_metres=_metres
    ),
    Alignment(
        name="median_ratio",
        space="depth",
        value_spaces=("metric", "scale"),
        find=_plain(fits.fit_median_ratio),
        to_metres=_metres,
    ),
    Alignment(
        name="ratio_of_medians",
        space="depth",
        value_spaces=("metric", "scale"),
        find=_plain(fits.fit_ratio_of_medians),
        to_metres=_metres,
    ),
    Alignment(
        name="lstsq_depth",
        space="depth",
        value_spaces=_SPACES["depth"],
        find=_depth_line,
        to_metres=_metres,
    ),
    Alignment(
        name="lstsq_disparity",
        space="disparity",
        value_spaces=_SPACES["disparity"],
        find=_disparity_line,
        to_metres=_inverse,
    ),
    Alignment(
        name="lstsq_disp_video",
        space="disparity",
        value_spaces=_SPACES["disparity"],
        find=_plain(fits.fit_lstsq_disp_video),
        to_metres=_video_inverse,
        scope="clip",
    ),
    Alignment(
        name="l1_scale",
        space="depth",
        value_spaces=("metric", "scale"),
        find=_l1(l1_scale),
        to_metres=_metres,
    ),
    Alignment(
        name="l1_affine",
        space="depth",
        value_spaces=_SPACES["depth"],
        find=_l1(l1_affine),
        to_metres=_metres,
    ),
    Alignment(
        name="ransac_log1p",
        space="log1p",
        value_spaces=_SPACES["log1p"],
        find=_ransac,
        to_metres=_expm1,
        random=True,
    ),
    Alignment(
        name="lstsq_log1p",
        space="log1p",
        value_spaces=_SPACES["log1p"],
        find=_plain(fits.fit_lstsq_log1p),
        to_metres=_expm1,
        scope="image or clip",
    ),
    Alignment(
        name="lstsq_log",
        space="log",
        value_spaces=_SPACES["log"],
        find=_plain(fits.fit_lstsq_log),
        to_metres=_exp,
        scope="image or clip",
    ),
)
ALIGNMENTS = MappingProxyType({alignment.name: alignment for alignment in _ALL})
