"""One HTML file that tells an evaluation: numbers, errors, uncertainty, best and worst images.

The file holds its charts (SVG) and pictures (data URLs) itself and opens without a network. All
text from outside (names of models, samples, remarks) is escaped.
"""

from __future__ import annotations

import html
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nearfar.errors import NearfarError
from nearfar.io.encode import data_url
from nearfar.viz.charts import Curve, curves_svg, histogram_svg
from nearfar.viz.colormap import apply_colormap

from .compare import Difference, arrow, compare, higher_is_better, shown, title_of
from .results import (
    OK,
    REPORT_FILE,
    SAMPLES_FILE,
    EvalResult,
    Preview,
    SampleRow,
    SampleTable,
    Summary,
    load_preview,
    load_result,
    preview_path,
    publish,
    read_table,
)

_CASES = 4  # best and worst images shown
_CHARTS = 6  # metrics with a histogram
_STYLE = """
body{font:15px/1.45 system-ui,sans-serif;margin:2rem auto;max-width:70rem;
padding:0 1rem;color:#222}
h1{font-size:1.5rem;margin-bottom:.2rem}h2{font-size:1.15rem;margin-top:2rem}
table{border-collapse:collapse;margin:.5rem 0}
td,th{padding:.2rem .7rem;border-bottom:1px solid #ddd}
th{text-align:left;background:#f5f5f5}td.n,th.n{text-align:right;font-variant-numeric:tabular-nums}
.charts{display:flex;flex-wrap:wrap;gap:1rem}.case{margin:1rem 0}.case figure{display:inline-block;
margin:0 .5rem .5rem 0}.case img{display:block;max-width:13rem}
figcaption{font-size:.8rem;color:#555}
.warn{background:#fff3cd;border:1px solid #e0c060;padding:.5rem .8rem}.quiet{color:#666}
details{margin:.5rem 0}pre{overflow:auto;background:#f7f7f7;padding:.7rem;font-size:.8rem}
"""


def write_report(run_folder: str | Path, *, baselines: Sequence[str | Path] = ()) -> Path:
    """Write `report.html` into a run folder; returns its path.

    baselines: other run folders or result files, shown beside this one. DataError if the folder
    holds no finished evaluation.
    """
    folder = Path(run_folder)
    result, table = load_result(folder), read_table(folder / SAMPLES_FILE)
    metrics = {name: result.metrics[name] for name in table.metrics if name in result.metrics}
    result = replace(result, metrics=metrics)  # in the protocol's order
    rows = [row for row in table.rows if row.status == OK]
    parts = [
        _head(result),
        _metrics(result),
        _beside(folder, result, baselines),
        _histograms(result, table, rows),
        _uncertainty(result),
        _cases(folder, table, rows),
        _subsets(result),
        _left_out(result, table),
        _circumstances(result),
    ]
    return publish(folder, REPORT_FILE, _page(result.title, parts))


def html_table(head: Sequence[str], rows: Iterable[Sequence[str]], *, texts: int = 1) -> str:
    """A table of escaped cells; columns after the first `texts` are numbers, set to the right."""

    def cells(kind: str, row: Sequence[str]) -> str:
        marks = ["" if place < texts else ' class="n"' for place in range(len(row))]
        return "".join(f"<{kind}{m}>{_text(c)}</{kind}>" for m, c in zip(marks, row))

    body = "\n".join(f"<tr>{cells('td', row)}</tr>" for row in rows)
    return f"<table><thead><tr>{cells('th', head)}</tr></thead>\n<tbody>\n{body}\n</tbody></table>"


def extremes(table: SampleTable, rows: Sequence[SampleRow]) -> tuple[str, list[SampleRow]]:
    """The metric that ranks the images (the first of the table) and all rows, best first."""
    name = table.metrics[0] if table.metrics else ""
    known = [row for row in rows if np.isfinite(row.values.get(name, np.nan))]
    return name, sorted(known, key=lambda r: r.values[name], reverse=higher_is_better(name))


def _page(title: str, parts: Sequence[str]) -> str:
    body = "\n".join(part for part in parts if part)
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width">\n'
        f"<title>{_text(title)}</title>\n<style>{_STYLE}</style>\n</head>\n"
        f"<body>\n{body}\n</body>\n</html>\n"
    )


def _head(result: EvalResult) -> str:
    model, data = result.model, result.dataset
    warning = ""
    if not result.comparable or result.remarks:
        reasons = "; ".join(result.remarks)
        start = "" if result.comparable else "These numbers are not comparable to others. "
        warning = f'<p class="warn">{_text(start + reasons)}</p>'
    rows = [
        ("model", _named(model, "name", "weights_sha256", "licence")),
        ("protocol", _protocol_line(result)),
        ("data", _named(data, "name", "split", "root")),
        ("images", _named(data, "evaluated", "count", "listed", "skipped")),
        ("settings", _named(result.settings)),
        ("machine", _named(result.machine)),
        ("run", f"{result.started} to {result.finished}"),
    ]
    return (
        f"<h1>{_text(str(model.get('name', 'model')))} on {_text(result.title)}</h1>\n"
        f"{warning}\n{html_table(('', ''), [r for r in rows if r[1]], texts=2)}"
    )


def _protocol_line(result: EvalResult) -> str:
    """Id, status, title and scope of the alignment."""
    protocol = result.protocol
    text = protocol.get("text") if isinstance(protocol.get("text"), Mapping) else {}
    scope = f"alignment per {protocol['scope']}" if protocol.get("scope") else ""
    parts = (result.title, protocol.get("status", ""), (text or {}).get("title", ""), scope)
    return ", ".join(str(part) for part in parts if part)


def _metrics(result: EvalResult) -> str:
    head = ("metric", "better", "mean", "95 % interval", "median", "std", "n")
    rows = [
        (
            title_of(name),
            arrow(name),
            shown(one.mean),
            _interval(one),
            shown(one.median),
            shown(one.std),
            str(one.n),
        )
        for name, one in result.metrics.items()
    ]
    return f"<h2>Metrics</h2>\n{html_table(head, rows, texts=2)}"


def _beside(folder: Path, result: EvalResult, baselines: Sequence[str | Path]) -> str:
    """This run beside others: means, and the paired differences where the samples are the same."""
    if not baselines:
        return ""
    head = ["metric", "better", str(result.model.get("name", "this run"))]
    columns: list[list[str]] = []
    notes: list[str] = []
    for path in baselines:
        other = load_result(path)
        name = str(other.model.get("name", "?"))
        means = [other.metrics.get(metric) for metric in result.metrics]
        columns.append([shown(None if one is None else one.mean) for one in means])
        head.append(name)
        try:
            found = {one.metric: one for one in compare(path, folder).differences}
        except NearfarError as error:
            notes.append(f"{name} ({other.title}): {error.finding}")
            continue
        head.append(f"minus {name}")
        columns.append([_difference(found.get(metric)) for metric in result.metrics])
    rows = [
        (title_of(metric), arrow(metric), shown(result.metrics[metric].mean), *cells)
        for metric, *cells in zip(result.metrics, *columns)
    ]
    remarks = "".join(
        f'<p class="quiet">No paired difference: {_text(note)}.</p>' for note in notes
    )
    return f"<h2>Beside other runs</h2>\n{html_table(head, rows, texts=2)}{remarks}"


def _difference(one: Difference | None) -> str:
    """`mean [low .. high] verdict` of this run minus another; distances to a goal say so."""
    if one is None:
        return "-"
    neutral = "differs" if one.is_clear else "not clear"
    verdict = {"a": "worse", "b": "better"}.get(one.better, neutral)
    what = "" if one.goal is None else f"distance to {one.goal:g}: "
    return f"{what}{shown(one.mean, 3)} [{shown(one.low, 3)} .. {shown(one.high, 3)}] {verdict}"


def _histograms(result: EvalResult, table: SampleTable, rows: Sequence[SampleRow]) -> str:
    charts: list[str] = []
    for name in table.metrics:
        values = np.array([row.values.get(name, np.nan) for row in rows], np.float64)
        if len(charts) < _CHARTS and np.isfinite(values).any():
            summary = result.metrics.get(name)
            mean = None if summary is None else summary.mean
            marks = {} if mean is None else {"mean": mean}
            charts.append(histogram_svg(values, label=title_of(name), marks=marks))
    if not charts:
        return ""
    return (
        f'<h2>How the values spread over images</h2>\n<div class="charts">{"".join(charts)}</div>'
    )


def _uncertainty(result: EvalResult) -> str:
    """Risk-coverage and calibration, where the run measured them."""
    charts = []
    for name, lines in result.curves.items():
        table: Mapping[str, Any] = lines if isinstance(lines, Mapping) else {name: lines}
        series = {k: np.array(v, np.float64) for k, v in table.items() if isinstance(v, list)}
        x = next((series.pop(k) for k in ("x", "levels", "coverage", "kept") if k in series), None)
        curves = []
        for label, y in series.items():
            if y.ndim == 1 and len(y) > 1 and (x is None or len(x) == len(y)):
                along = np.linspace(0, 1, len(y)) if x is None else x
                curves.append(Curve(title_of(label), along, y))
        if "calib" in name:
            curves.append(Curve("ideal", np.array([0.0, 1.0]), np.array([0.0, 1.0]), dashed=True))
        if any(np.isfinite(curve.y_S).any() for curve in curves if not curve.dashed):
            x_label = "stated level" if "calib" in name else "share of pixels, most certain first"
            y_label = "share inside" if "calib" in name else title_of(name)
            charts.append(curves_svg(curves, x_label=x_label, y_label=y_label))
    if not charts:
        return ""
    return f'<h2>Uncertainty</h2>\n<div class="charts">{"".join(charts)}</div>'


def _cases(folder: Path, table: SampleTable, rows: Sequence[SampleRow]) -> str:
    name, ranked = extremes(table, rows)
    count = min(_CASES, (len(ranked) + 1) // 2)
    parts = []
    for title, chosen in (("Best", ranked[:count]), ("Worst", ranked[::-1][:count])):
        blocks = [block for row in chosen if (block := _case(folder, name, row))]
        if blocks:
            parts.append(f"<h2>{title} images by {_text(title_of(name))}</h2>\n{''.join(blocks)}")
    return "\n".join(parts)


def _case(folder: Path, name: str, row: SampleRow) -> str:
    try:
        preview = load_preview(preview_path(folder, row.index))
    except NearfarError:
        preview = None
    if preview is None:
        return ""
    figures = []
    for title, picture in case_pictures(preview).items():
        url = data_url(picture, form="JPEG" if title == "photo" else "PNG")
        caption = _text(title)
        figures.append(
            f'<figure><img alt="{caption}" src="{url}"><figcaption>{caption}</figcaption></figure>'
        )
    numbers = ", ".join(f"{title_of(k)} {shown(v)}" for k, v in list(row.values.items())[:4])
    return (
        f'<div class="case"><p>{_text(row.sample_id)}: {_text(numbers)}</p>{"".join(figures)}</div>'
    )


def _subsets(result: EvalResult) -> str:
    parts = []
    for kind, groups in result.subsets.items():
        head = (kind, "n", *(title_of(name) for name in result.metrics))
        rows = []
        for group, metrics in groups.items():
            found = [metrics.get(name) for name in result.metrics]
            count = max((s.n for s in metrics.values()), default=0)
            means = (shown(None if s is None else s.mean) for s in found)
            rows.append((group, str(count), *means))
        title = f"<summary>By {_text(kind)} ({len(rows)})</summary>"
        is_open = " open" if len(rows) <= 12 else ""
        parts.append(f"<details{is_open}>{title}{html_table(head, rows)}</details>")
    return f"<h2>Parts of the data</h2>\n{''.join(parts)}" if parts else ""


def _left_out(result: EvalResult, table: SampleTable) -> str:
    """Degenerate counters and the images that were not scored, with the reason."""
    parts = []
    counters = {k: v for k, v in result.degenerate.items() if v}
    if counters:
        rows = [(name.replace("_", " "), shown(value)) for name, value in counters.items()]
        parts.append(html_table(("what happened", "how often"), rows))
    missing = [(row.sample_id, row.reason) for row in table.rows if row.status != OK]
    if missing:
        parts.append(html_table(("image without a score", "reason"), missing, texts=2))
    return f"<h2>Special cases</h2>\n{''.join(parts)}" if parts else ""


def _circumstances(result: EvalResult) -> str:
    """Time, memory and everything needed to repeat the run."""
    time = [(name.replace("_", " "), shown(value)) for name, value in result.timing.items()]
    parts = [html_table(("time and memory", "value"), time)] if time else []
    everything = {
        "protocol": result.protocol,
        "model": result.model,
        "dataset": result.dataset,
        "tool": result.tool,
        "csv_sha256": result.csv_sha256,
    }
    for name, value in everything.items():
        text = json.dumps(value, indent=1, sort_keys=True, default=str)
        parts.append(f"<details><summary>{name}</summary><pre>{_text(text)}</pre></details>")
    return f"<h2>How this was measured</h2>\n{''.join(parts)}"


def _named(table: Mapping[str, Any], *names: str) -> str:
    """`name value` pairs of plain values in one line; all of them without names."""
    chosen = names or tuple(table)
    plain = {n: table[n] for n in chosen if isinstance(table.get(n), str | int | float)}
    return ", ".join(f"{n.replace('_', ' ')} {v}" for n, v in plain.items() if v != "")


def _interval(one: Summary) -> str:
    low, high = one.ci95
    return "-" if low is None or high is None else f"{shown(low)} .. {shown(high)}"


def _text(text: str) -> str:
    return html.escape(text, quote=True)


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
