"""What an evaluation leaves: `result.json`, `samples.csv`, and small pictures of every sample.

The means in the JSON are computed from the CSV's own digits, so that `nearfar eval recompute` needs
no model and gives the same numbers (spec evaluation.md section 6).
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from nearfar.errors import DataError
from nearfar.io.atomic import atomic_path

SCHEMA = 1
RESULT_FILE, SAMPLES_FILE, PREVIEWS = "result.json", "samples.csv", "previews"
PREVIEW_SIDE = 192
NOT_COMPARABLE = "not comparable"


@dataclass(frozen=True, kw_only=True, slots=True)
class Summary:
    """One metric over the samples: n values, their average (in the protocol's order) and spread.

    ci95: percentile bootstrap, resampled by scene. None where a value does not exist.
    """

    mean: float | None
    median: float | None
    std: float | None
    ci95: tuple[float | None, float | None]
    n: int


@dataclass(frozen=True, kw_only=True, slots=True)
class EvalResult:
    """Everything that belongs to one evaluation, as `result.json` holds it.

    protocol: id, version, hash, status, text (the whole resolved table). comparable: False for
    custom protocols, subsets and other deviations; `remarks` says why. metrics: name -> Summary.
    subsets: kind (scene, place, range) -> name -> metric -> Summary. degenerate: counter -> value.
    timing: seconds_median, seconds_p10, seconds_p90, peak_rss_mb. curves: name -> numbers.
    """

    protocol: dict[str, Any]
    model: dict[str, Any]
    dataset: dict[str, Any]
    settings: dict[str, Any]
    tool: dict[str, Any]
    machine: dict[str, Any]
    metrics: dict[str, Summary]
    comparable: bool = True
    remarks: tuple[str, ...] = ()
    subsets: dict[str, dict[str, dict[str, Summary]]] = field(default_factory=dict)
    degenerate: dict[str, float] = field(default_factory=dict)
    timing: dict[str, float | None] = field(default_factory=dict)
    curves: dict[str, Any] = field(default_factory=dict)
    started: str = ""
    finished: str = ""
    csv_sha256: str = ""
    schema: int = SCHEMA

    @property
    def title(self) -> str:
        """id@version#hash, the first eight digits of the hash."""
        p = self.protocol
        return f"{p['id']}@{p['version']}#{str(p['hash'])[:8]}"

    def to_json(self) -> str:
        """The result as JSON text; not-a-number becomes null."""
        return json.dumps(_plain(asdict(self)), indent=1, allow_nan=False) + "\n"

    @classmethod
    def from_json(cls, text: str, *, where: object = "result.json") -> Self:
        """The result that `to_json` wrote; DataError for other text or another schema."""
        try:
            table = json.loads(text)
        except json.JSONDecodeError as error:
            raise DataError(where, f"is no JSON ({error})") from None
        if not isinstance(table, dict) or table.get("schema") != SCHEMA:
            found = table.get("schema") if isinstance(table, dict) else type(table).__name__
            raise DataError(where, f"schema is {found}, this version reads {SCHEMA}")
        names = {item.name for item in fields(cls)}
        missing = {"protocol", "model", "dataset", "settings", "metrics"} - set(table)
        if missing or set(table) - names:
            raise DataError(where, f"keys are wrong: {sorted(missing | (set(table) - names))}")
        try:
            table["metrics"] = _summaries(table["metrics"])
            table["subsets"] = {
                kind: {name: _summaries(metrics) for name, metrics in groups.items()}
                for kind, groups in table["subsets"].items()
            }
            table["remarks"] = tuple(table["remarks"])
            lacks = {"id", "version", "hash"} - set(table["protocol"])
        except (TypeError, KeyError, AttributeError) as error:
            raise DataError(where, f"is no result of an evaluation ({error})") from None
        if lacks:
            raise DataError(where, f"its protocol lacks {', '.join(sorted(lacks))}")
        return cls(**table)

    def save(self, folder: str | Path) -> Path:
        """Write `result.json` whole or not at all; returns its path."""
        path = Path(folder) / RESULT_FILE
        with atomic_path(path) as temporary:
            temporary.write_text(self.to_json(), encoding="utf-8")
        return path


def load_result(path: str | Path) -> EvalResult:
    """The result of a file, or of a run folder that holds `result.json`."""
    path = Path(path)
    if path.is_dir():
        path = path / RESULT_FILE
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or "no text"
        remedy = "Name a finished run's folder or its JSON"
        raise DataError(path, f"cannot be read ({why})", remedy) from None
    return EvalResult.from_json(text, where=path)


@dataclass(frozen=True, kw_only=True, slots=True)
class Preview:
    """A sample's pictures, long side at most 192: photo, metres of truth and aligned prediction.

    truth and prediction: float16, NaN where unknown (da2k: no truth; disparities never). valid:
    pixels that were scored. uncertainty: metres, or None. risk_101: mean AbsRel of the most certain
    1, 2, .. 101 hundred-and-firsts of the pixels, or None.
    """

    rgb: NDArray[np.uint8]
    truth: NDArray[np.float16]
    prediction: NDArray[np.float16]
    valid: NDArray[np.bool_]
    uncertainty: NDArray[np.float16] | None = None
    risk_101: NDArray[np.float64] | None = None


def preview_path(folder: str | Path, index: int) -> Path:
    """Where the preview of sample `index` (its place in the list) lies in a run folder."""
    return Path(folder) / PREVIEWS / f"{index:06d}.npz"


def save_preview(path: Path, preview: Preview) -> None:
    """Write a preview whole or not at all, in an existing folder."""
    arrays = {
        item.name: getattr(preview, item.name)
        for item in fields(preview)
        if getattr(preview, item.name) is not None
    }
    with atomic_path(path) as temporary, open(temporary, "wb") as file:
        np.savez_compressed(file, **arrays)


def load_preview(path: Path) -> Preview | None:
    """The preview of a file, None if there is none; DataError if it is damaged."""
    if not path.is_file():
        return None
    try:
        with np.load(path, allow_pickle=False) as archive:
            return Preview(**{name: archive[name] for name in archive.files})
    except Exception as error:  # a damaged archive raises nearly anything
        raise DataError(path, f"is no preview ({error})", "Run the evaluation again") from None


def _summaries(table: Mapping[str, Any]) -> dict[str, Summary]:
    return {name: Summary(**(row | {"ci95": tuple(row["ci95"])})) for name, row in table.items()}


def _plain(value: Any) -> Any:
    """The value in JSON's own types: numpy numbers unpacked, non-finite numbers as None."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value if isinstance(value, str | int | float | bool | None) else str(value)
