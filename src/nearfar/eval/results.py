"""What an evaluation leaves in its folder: settings, table of samples, previews, result.

`run.json` holds everything that decides a number and is written first; a folder whose `run.json`
says something else is refused. Process r of n writes `shares/r.csv` (alone: `samples.csv`) row by
row and, when it is through, `shares/r.json`; whoever finds all marks puts the result together.
The means in `result.json` are computed from the CSV's own digits, so that `nearfar eval recompute`
needs no model and gives the same numbers (docs/evaluation.md, "Hashes and intervals").
"""

from __future__ import annotations

import csv
import io
import json
import math
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from nearfar.errors import ConfigError, DataError, OutputError
from nearfar.io.atomic import atomic_path, ensure_folder, held, remove_leftovers, staging
from nearfar.io.manifest import Manifest, ManifestRecord, settings_hash

SCHEMA = 1
RESULT_FILE, SAMPLES_FILE, PREVIEWS = "result.json", "samples.csv", "previews"
REPORT_FILE = "report.html"
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
            raise DataError(where, f"has schema {found}; this version reads {SCHEMA}")
        names = {item.name for item in fields(cls)}
        missing = {"protocol", "model", "dataset", "settings", "metrics"} - set(table)
        if missing or set(table) - names:
            raise DataError(
                where, f"missing or unknown keys: {sorted(missing | (set(table) - names))}"
            )
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
        """Write `result.json` whole or not at all, and list it as a result; returns its path."""
        return publish(Path(folder), RESULT_FILE, self.to_json())


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


OK, SKIPPED = "ok", "skipped"
NOTE = "note_"  # prefix of columns that count degenerate cases; they are no metrics
_FIXED = ("index", "sample_id", "scene", "place", "data_sha256", "n_valid", "scale", "shift")
_STATE = ("status", "reason")
_LAST = ("seconds",)


@dataclass(frozen=True, kw_only=True, slots=True)
class SampleRow:
    """One image: its place in the list, where it comes from, its fit and its values.

    place: indoor, outdoor or ''. data_sha256: first 16 digits over photo, depth and mask as
    decoded. seconds: the prediction.
    values: metric -> value, missing where it does not exist. notes: counter -> value.
    """

    index: int
    sample_id: str
    scene: str
    place: str = ""
    data_sha256: str = ""
    n_valid: int = 0
    scale: float | None = None
    shift: float | None = None
    status: str = OK
    reason: str = ""
    values: Mapping[str, float] = field(default_factory=dict)
    notes: Mapping[str, float] = field(default_factory=dict)
    seconds: float | None = None


def header(metrics: Sequence[str], notes: Sequence[str]) -> list[str]:
    """The column names of a file with these metrics and counters."""
    return [*_FIXED, *_STATE, *metrics, *(NOTE + name for name in notes), *_LAST]


class SampleWriter:
    """Appends rows to a CSV file; every row is on the disk when `append` returns."""

    def __init__(self, path: Path, metrics: Sequence[str], notes: Sequence[str]) -> None:
        """Open for appending; an unfinished last line of a killed run is cut off first."""
        self.path, self._metrics, self._notes = path, list(metrics), list(notes)
        wanted = _line(header(metrics, notes))
        try:
            if path.exists():
                _cut_unfinished(path)
            if not path.exists() or path.stat().st_size == 0:
                path.write_text(wanted, encoding="utf-8", newline="")
            with open(path, encoding="utf-8", newline="") as file:
                found = file.readline()
        except OSError as error:
            raise OutputError(path, f"cannot be written ({error.strerror})") from error
        if found != wanted:
            raise DataError(path, "has other columns than this run", "Choose another -o")

    def append(self, row: SampleRow) -> None:
        """Add one row; OutputError if it cannot be written."""
        try:
            with open(self.path, "a", encoding="utf-8", newline="") as file:
                file.write(_line(_cells(row, self._metrics, self._notes)))
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise OutputError(
                self.path, f"cannot be written ({error.strerror})", "Free space, then --resume"
            ) from error


def write_table(
    path: Path, rows: Iterable[SampleRow], metrics: Sequence[str], notes: Sequence[str]
) -> None:
    """Write all rows in list order, whole or not at all."""
    lines = [_line(header(metrics, notes))]
    ordered = sorted(rows, key=lambda row: row.index)
    lines += [_line(_cells(row, metrics, notes)) for row in ordered]
    with atomic_path(path) as temporary:
        temporary.write_text("".join(lines), encoding="utf-8", newline="")


@dataclass(frozen=True, kw_only=True, slots=True)
class SampleTable:
    """A CSV file read back: its metric and counter columns, and its rows in list order."""

    metrics: tuple[str, ...]
    notes: tuple[str, ...]
    rows: tuple[SampleRow, ...]


def read_table(path: str | Path) -> SampleTable:
    """The rows of a CSV file (an unfinished last line is not one); DataError names the line."""
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or "no text"
        raise DataError(path, f"cannot be read ({why})") from None
    whole = text[: text.rfind("\n") + 1]
    lines = list(csv.reader(io.StringIO(whole, newline="")))
    first = len(_FIXED) + len(_STATE)
    if not lines or tuple(lines[0][:first]) != (*_FIXED, *_STATE) or lines[0][-1:] != [*_LAST]:
        raise DataError(path, "is no table of samples")
    names = lines[0]
    columns = names[first:-1]
    metrics = tuple(name for name in columns if not name.startswith(NOTE))
    notes = tuple(name.removeprefix(NOTE) for name in columns if name.startswith(NOTE))
    rows = []
    for number, cells in enumerate(lines[1:], 2):
        if len(cells) != len(names):
            raise DataError(f"{path}:{number}", f"has {len(cells)} cells, expected {len(names)}")
        try:
            rows.append(_row(dict(zip(names, cells, strict=True)), metrics, notes))
        except ValueError as error:
            raise DataError(f"{path}:{number}", f"is no row of samples ({error})") from None
    return SampleTable(
        metrics=metrics, notes=notes, rows=tuple(sorted(rows, key=lambda row: row.index))
    )


def _row(cells: Mapping[str, str], metrics: Sequence[str], notes: Sequence[str]) -> SampleRow:
    return SampleRow(
        index=int(cells["index"]),
        sample_id=cells["sample_id"],
        scene=cells["scene"],
        place=cells["place"],
        data_sha256=cells["data_sha256"],
        n_valid=int(cells["n_valid"]),
        scale=_number(cells["scale"]),
        shift=_number(cells["shift"]),
        status=cells["status"],
        reason=cells["reason"],
        values={name: float(cells[name]) for name in metrics if cells[name]},
        notes={name: float(cells[NOTE + name]) for name in notes if cells[NOTE + name]},
        seconds=_number(cells["seconds"]),
    )


def _cells(row: SampleRow, metrics: Sequence[str], notes: Sequence[str]) -> list[str]:
    return [
        str(row.index),
        row.sample_id,
        row.scene,
        row.place,
        row.data_sha256,
        str(row.n_valid),
        _text(row.scale),
        _text(row.shift),
        row.status,
        row.reason,
        *(_text(row.values.get(name)) for name in metrics),
        *(_text(row.notes.get(name)) for name in notes),
        _text(row.seconds),
    ]


def _text(value: float | None) -> str:
    """Nine significant digits, '' for what does not exist."""
    return "" if value is None else format(float(value), ".9g")


def _number(text: str) -> float | None:
    return float(text) if text else None


def _line(cells: Sequence[str]) -> str:
    out = io.StringIO(newline="")
    csv.writer(out, lineterminator="\n").writerow(cells)
    return out.getvalue()


def _cut_unfinished(path: Path) -> None:
    """Drop what follows the last newline: the row a killed process was writing."""
    data = path.read_bytes()
    whole = data.rfind(b"\n") + 1
    if whole != len(data):
        with open(path, "r+b") as file:
            file.truncate(whole)


RUN_FILE, SHARES = "run.json", "shares"
_LONGEST = 60  # characters of a value in a message
_FREE = ("tool", "machine", "started", "command")  # may differ between the parts of one run


class RunFiles:
    """The files of one run as process `share` = (rank, world) sees them."""

    def __init__(self, folder: str | Path, *, share: tuple[int, int] = (0, 1)) -> None:
        self.folder = Path(folder)
        self.rank, self.world = share

    @property
    def table(self) -> Path:
        """The table this process appends to."""
        if self.world == 1:
            return self.folder / SAMPLES_FILE
        return self.folder / SHARES / f"{self.rank}.csv"

    def tables(self) -> list[Path]:
        """The tables of all processes that are there."""
        if self.world == 1:
            return [self.table] if self.table.is_file() else []
        return [p for r in range(self.world) if (p := self._of(r, "csv")).is_file()]

    def begin(self, settings: Mapping[str, Any], *, resume: bool) -> None:
        """Make the folder and its `run.json`; ConfigError if it holds another or an older run."""
        path = self.folder / RUN_FILE
        if self.folder.exists() and not self.folder.is_dir():
            raise ConfigError(self.folder, "is not a folder", "Choose another -o")
        found = self._found()
        if found and not path.is_file():
            finding = f"has {found[0]} but no {RUN_FILE}: nobody knows what made it"
            raise DataError(self.folder, finding, "Choose another -o")
        if found and not resume:
            raise ConfigError(
                self.folder,
                f"already holds an evaluation ({found[0]})",
                "Use --resume or another -o",
            )
        for name in ("", SHARES, PREVIEWS):
            remove_leftovers(self.folder / name)
        if path.is_file():
            before, wanted = read_json(path), _as_json(settings)
            if found or self.world > 1 or set(before) != set(wanted):
                _require_same(before, wanted, self.folder)
                manifest, origin = Manifest(self.folder), _record(self.folder, before).origin
                manifest.require_free([self.folder / n for n in (RESULT_FILE, REPORT_FILE)], origin)
                return
        for name in (SHARES, PREVIEWS):
            ensure_folder(self.folder / name)
        write_json(path, settings)

    def _found(self) -> list[str]:
        """What this process would add to: files of a run, those of other shares left out."""
        names = [RESULT_FILE, REPORT_FILE, SAMPLES_FILE, str(self.table.relative_to(self.folder))]
        if self.world == 1:
            names += [SHARES, PREVIEWS]
        found = [self.folder / name for name in names]
        return [
            path.name
            for path in found
            if os.path.lexists(path) and not (path.is_dir() and not any(path.iterdir()))
        ]

    @contextmanager
    def alone(self) -> Iterator[None]:
        """The table of this share is this process' own in the block; ConfigError if it is not."""
        self.table.touch()
        with held(self.table) as is_ours:
            if not is_ours:
                raise ConfigError(self.folder, "another process works on it", "Wait for its end")
            yield

    def finish(self, mark: Mapping[str, Any], *, has_worked: bool = True) -> bool:
        """Mark this process' share as done; True if that makes all shares done.

        An old mark stays where nothing was left to do: time and memory are those of the work.
        """
        path = self._of(self.rank, "json")
        if has_worked or not path.is_file():
            write_json(path, mark)
        return len(self.marks()) == self.world

    def marks(self) -> list[dict[str, Any]]:
        """What the finished processes left."""
        paths = [self._of(rank, "json") for rank in range(self.world)]
        return [read_json(path) for path in paths if path.is_file()]

    def _of(self, rank: int, suffix: str) -> Path:
        return self.folder / SHARES / f"{rank}.{suffix}"


def read_json(path: Path) -> dict[str, Any]:
    """The table in a JSON file; DataError if there is none."""
    try:
        table = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or "no JSON"
        raise DataError(path, f"cannot be read ({why})", "Name the folder of a run") from None
    if not isinstance(table, dict):
        raise DataError(path, "is no JSON object")
    return table


def write_json(path: Path, table: Mapping[str, Any]) -> None:
    """Write a JSON file whole or not at all."""
    ensure_folder(path.parent)
    with atomic_path(path) as temporary:
        temporary.write_text(json.dumps(table, indent=1, sort_keys=True) + "\n", encoding="utf-8")


def publish(folder: Path, name: str, text: str) -> Path:
    """Write a text of a run whole or not at all, and list it in the folder's manifest."""
    place = folder / name
    with staging(ensure_folder(folder), name) as stage:
        if stage is None:
            raise ConfigError(place, "another process writes it", "Wait for its end")
        with atomic_path(stage / name) as temporary:
            temporary.write_text(text, encoding="utf-8")
        run = read_json(folder / RUN_FILE) if (folder / RUN_FILE).is_file() else {}
        Manifest(folder).publish(_record(folder, run), {place: stage / name}, overwrite=True)
    return place


def _record(folder: Path, run: Mapping[str, Any]) -> ManifestRecord:
    """What the manifest says the results of a run are made from."""
    data = run.get("dataset", {})
    settings = {name: value for name, value in run.items() if name not in _FREE}
    source = f"dataset://{data.get('name', '')}/{data.get('split', '')}"
    return ManifestRecord(
        input=source,
        source=source,
        sha256=str(data.get("list_sha256", "")),
        settings={"model": run.get("model"), "protocol": run.get("protocol", {}).get("hash")},
        settings_hash=settings_hash(settings),
    )


def _require_same(before: Mapping[str, Any], now: Mapping[str, Any], folder: Path) -> None:
    for name in sorted((set(before) | set(now)) - set(_FREE)):
        if before.get(name) != now.get(name):
            old, new = before.get(name), now.get(name)
            if isinstance(old, dict) and isinstance(new, dict):
                inner = next(k for k in sorted({*old, *new}) if old.get(k) != new.get(k))
                name, old, new = f"{name}.{inner}", old.get(inner), new.get(inner)
            finding = f"was begun with {name} = {_brief(old)}, now it is {_brief(new)}"
            raise ConfigError(folder, finding, "Choose another -o")


def _brief(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."


def _as_json(table: Mapping[str, Any]) -> dict[str, Any]:
    """The table as JSON gives it back."""
    plain: dict[str, Any] = json.loads(json.dumps(table))
    return plain
