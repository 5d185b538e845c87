"""The parts of a locked protocol: every field that decides a number, and what it may hold."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, kw_only=True, slots=True)
class DatasetPart:
    """Which images. count: expected samples, 0 = whatever the folder holds. fingerprint: SHA-256
    over the sorted keys of the official split, '' = none is known. decode: how files become metres.
    """

    name: str
    split: str
    options: dict[str, Any]
    licence: str
    count: int
    fingerprint: str
    decode: str


@dataclass(frozen=True, kw_only=True, slots=True)
class ListPart:
    """The published list file: name, SHA-256 (or its first digits, '' = unknown), order."""

    name: str
    sha256: str
    order: str


@dataclass(frozen=True, kw_only=True, slots=True)
class ImagePart:
    """What the network sees. crop: a box of eval/crops.py or none. resize: none, size, long_side.

    size: [h, w], [long side] or []. interpolation: of the photo. warp: none or moge.
    """

    crop: str
    resize: str
    size: tuple[int, ...]
    interpolation: str
    antialias: bool
    colour: str  # the word of the locked files
    warp: str


@dataclass(frozen=True, kw_only=True, slots=True)
class TruthPart:
    """The ground truth. map: depth (raw, with holes) or filled. resize: none or nearest."""

    map: str
    crop: str
    resize: str
    size: tuple[int, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class MaskPart:
    """Scored pixels, terms in order: file, range, box:NAME, sobel:T, mask:NAME.

    min, max: metres of `range`, each 'none' for no limit; is_max_open: max itself is outside.
    empty: what an image without such a pixel does: fail, or skip (counted and listed).
    """

    terms: tuple[str, ...]
    min: float | str
    max: float | str
    is_min_open: bool
    is_max_open: bool
    least_pixels: int
    empty: str


@dataclass(frozen=True, kw_only=True, slots=True)
class PredictionPart:
    """accepts: value space -> conversion made first. resize: to the truth's size.

    sky: what pixels without a finite depth count as. farthest: the farthest finite depth where the
    prediction says sky, elsewhere the run fails. fail: it always fails. 'farthest, else caps': as
    farthest, elsewhere NaN is caps.min and infinity caps.max, after averaging (DAR's code).
    """

    accepts: dict[str, str]
    resize: str
    align_corners: bool
    sky: str


@dataclass(frozen=True, kw_only=True, slots=True)
class AlignmentPart:
    """id: a row of eval/align.py. scope: image, clip or none.

    options: of `AlignOptions`. seed: for random estimators, each sample draws from [seed, index].
    degenerate: what happens where no fit exists.
    """

    id: str
    space: str
    scope: str
    estimator: str
    weights: str
    sampling: str
    options: dict[str, Any]
    degenerate: str
    seed: int


@dataclass(frozen=True, kw_only=True, slots=True)
class CapsPart:
    """Limits of the aligned depth in metres: a number, none, or max_truth; floor comes last."""

    min: float | str
    max: float | str
    floor: float | str


@dataclass(frozen=True, kw_only=True, slots=True)
class AveragePart:
    """over: images, scenes (mean of scene means), or clips. weights: metric -> counter column."""

    over: str
    weights: dict[str, str]


@dataclass(frozen=True, kw_only=True, slots=True)
class InferencePart:
    """steps, ensemble_size: those of the published numbers, told but not forced on other models
    ('model' = none are stated). seed: the default of a run, the same for every image.
    """

    steps: int | str
    ensemble_size: int | str
    seed: int
    tta: str


@dataclass(frozen=True, kw_only=True, slots=True)
class VideoPart:
    """frames: how many per clip at most. first, stride: which ones. windows: how clips are cut."""

    frames: int
    first: int
    stride: int
    windows: str
    input: str


@dataclass(frozen=True, kw_only=True, slots=True)
class ReferencePart:
    """A number that a correct run gives: model, metric, value, tolerance, where it is from."""

    model: str
    metric: str
    value: float
    tolerance: float
    source: str
