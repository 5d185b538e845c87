"""Charts as SVG text: histograms and curves that stand in an HTML page without other files."""

from __future__ import annotations

import html
import math
from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from nearfar.errors import ConfigError

COLORS = ("#1f6f8b", "#c8553d", "#588157", "#7d5ba6", "#b08900", "#555555")
WIDTH, HEIGHT = 420, 240
_LEFT, _RIGHT, _TOP, _BOTTOM = 58, 14, 14, 44
_LEGEND = 130  # what a legend on the right needs
_STEPS = (1.0, 2.0, 2.5, 5.0, 10.0)


class Curve(NamedTuple):
    """A line through points; `dashed` for references that nothing measured."""

    label: str
    x_S: NDArray[np.float64]
    y_S: NDArray[np.float64]
    dashed: bool = False


class _Axes(NamedTuple):
    """Data ranges of a chart, both already widened to ticks; `is_log2`: x holds logarithms."""

    x_low: float
    x_high: float
    y_low: float
    y_high: float
    is_log2: bool = False

    def x(self, value: float) -> float:
        inner = WIDTH - _LEFT - _RIGHT
        return _LEFT + inner * (value - self.x_low) / (self.x_high - self.x_low)

    def y(self, value: float) -> float:
        inner = HEIGHT - _TOP - _BOTTOM
        return HEIGHT - _BOTTOM - inner * (value - self.y_low) / (self.y_high - self.y_low)


def curves_svg(
    curves: Sequence[Curve],
    *,
    x_label: str,
    y_label: str,
    is_log2: bool = False,
    legend: Literal["left", "right"] = "left",
) -> str:
    """An SVG chart of lines with a legend; points that are not finite are left out.

    is_log2: doublings of x stand equally far apart; x of 0 and less is left out.
    """
    if is_log2:
        curves = [c._replace(x_S=_log2(c.x_S)) for c in curves]
    kept = [_finite(c) for c in curves]
    kept = [c for c in kept if len(c.x_S)]
    if not kept:
        raise ConfigError(f"chart of {y_label}", "no finite point to draw")
    x, y = (np.concatenate([getattr(c, name) for c in kept]) for name in ("x_S", "y_S"))
    axes = _axes(x, y)._replace(is_log2=is_log2)
    parts = _frame(axes, x_label, y_label)
    margin = _LEFT + 8 if legend == "left" else WIDTH - _RIGHT - _LEGEND
    for number, curve in enumerate(kept):
        color = COLORS[number % len(COLORS)]
        points = " ".join(f"{axes.x(a):.1f},{axes.y(b):.1f}" for a, b in zip(curve.x_S, curve.y_S))
        dash = ' stroke-dasharray="5 4"' if curve.dashed else ""
        parts.append(
            f'<polyline fill="none" stroke="{color}" stroke-width="2"{dash} points="{points}"/>'
        )
        top = _TOP + 14 + 15 * number
        parts.append(
            f'<line x1="{margin}" x2="{margin + 18}" y1="{top - 4}" y2="{top - 4}" '
            f'stroke="{color}" stroke-width="2"{dash}/>'
        )
        parts.append(_text(margin + 23, top, curve.label, anchor="start"))
    return _svg(parts, f"{y_label} over {x_label}")


def histogram_svg(
    values_S: NDArray[np.float64],
    *,
    label: str,
    bins: int = 24,
    marks: Mapping[str, float] | None = None,
) -> str:
    """An SVG histogram of the finite values; the last bar also holds the largest 1 %.

    `marks` are named vertical lines, for example the mean.
    """
    values = np.asarray(values_S, np.float64)
    values = values[np.isfinite(values)]
    if not len(values):
        raise ConfigError(f"histogram of {label}", "no finite value to count")
    high = float(np.quantile(values, 0.99)) if len(values) > 50 else float(values.max())
    low = float(values.min())
    if high <= low:
        low, high = low - 0.5 * max(abs(low), 1e-6), high + 0.5 * max(abs(high), 1e-6)
    count, edges = np.histogram(np.minimum(values, high), bins=bins, range=(low, high))
    axes = _axes(edges, np.array([0.0, float(count.max())]))
    parts = _frame(axes, label, "images")
    for number, left, right in zip(count, edges[:-1], edges[1:]):
        x, y = axes.x(left), axes.y(float(number))
        wide, tall = axes.x(right) - x, axes.y(0.0) - y
        parts.append(
            f'<rect x="{x:.1f}" y="{y:.1f}" width="{max(wide - 1, 1):.1f}" '
            f'height="{tall:.1f}" fill="{COLORS[0]}"/>'
        )
    for place, (name, value) in enumerate((marks or {}).items(), start=1):
        if not low <= value <= high:
            continue
        x, color = axes.x(value), COLORS[place % len(COLORS)]
        parts.append(
            f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{_TOP}" y2="{HEIGHT - _BOTTOM}" '
            f'stroke="{color}" stroke-width="2" stroke-dasharray="5 4"/>'
        )
        parts.append(_text(x + 4, _TOP + 12 * place, f"{name} {value:.3g}", anchor="start"))
    return _svg(parts, f"histogram of {label}")


def ticks(low: float, high: float, *, wanted: int = 5) -> list[float]:
    """Round numbers that cover low..high; the first is <= low, the last >= high."""
    span = high - low
    if not (math.isfinite(span) and span > 0):
        raise ConfigError("ticks", f"range {low}..{high}")
    power = 10.0 ** math.floor(math.log10(span / wanted))
    step = next(power * s for s in _STEPS if power * s * wanted >= span * (1 - 1e-9))
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [number * step for number in range(first, last + 1)]


def _finite(curve: Curve) -> Curve:
    """The curve without points that are not finite."""
    x, y = np.asarray(curve.x_S, np.float64), np.asarray(curve.y_S, np.float64)
    good = np.isfinite(x) & np.isfinite(y)
    return curve._replace(x_S=x[good], y_S=y[good])


def _log2(x_S: NDArray[np.float64]) -> NDArray[np.float64]:
    """Logarithms to the base 2, NaN where there is none."""
    x_S = np.asarray(x_S, np.float64)
    return np.log2(np.where(x_S > 0, x_S, np.nan))


def _whole_ticks(axes: _Axes) -> list[int]:
    """Whole numbers within the x range, about five at equal distances."""
    first, last = math.ceil(axes.x_low), math.floor(axes.x_high)
    return list(range(first, last + 1, max(1, math.ceil((last - first) / 6))))


def _axes(x: NDArray[np.float64], y: NDArray[np.float64]) -> _Axes:
    """Ranges that end on ticks; a range of one value becomes one around it."""
    ends: list[float] = []
    for values in (x, y):
        low, high = float(values.min()), float(values.max())
        if high <= low:
            low, high = low - 0.5 * max(abs(low), 1e-6), high + 0.5 * max(abs(high), 1e-6)
        marks = ticks(low, high)
        ends += [marks[0], marks[-1]]
    return _Axes(ends[0], ends[1], ends[2], ends[3])


def _frame(axes: _Axes, x_label: str, y_label: str) -> list[str]:
    """Grid, tick numbers and labels."""
    parts = []
    right, bottom = WIDTH - _RIGHT, HEIGHT - _BOTTOM
    for value in _whole_ticks(axes) if axes.is_log2 else ticks(axes.x_low, axes.x_high):
        x = axes.x(value)
        parts.append(f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{_TOP}" y2="{bottom}" stroke="#ddd"/>')
        parts.append(_text(x, bottom + 15, f"{2**value if axes.is_log2 else value:.6g}"))
    for value in ticks(axes.y_low, axes.y_high):
        y = axes.y(value)
        parts.append(f'<line x1="{_LEFT}" x2="{right}" y1="{y:.1f}" y2="{y:.1f}" stroke="#ddd"/>')
        parts.append(_text(_LEFT - 6, y + 4, f"{value:.6g}", anchor="end"))
    parts.append(_text((_LEFT + right) / 2, HEIGHT - 8, x_label))
    middle = (_TOP + bottom) / 2
    turn = f' transform="rotate(-90 14 {middle:.1f})"'
    parts.append(_text(14, middle, y_label, more=turn))
    return parts


def _text(x: float, y: float, text: str, *, anchor: str = "middle", more: str = "") -> str:
    escaped = html.escape(text)
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{more}>{escaped}</text>'


def _svg(parts: Sequence[str], title: str) -> str:
    head = (
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" '
        f'width="{WIDTH}" height="{HEIGHT}" role="img" font-family="sans-serif" font-size="11">'
    )
    return "\n".join([head, f"<title>{html.escape(title)}</title>", *parts, "</svg>"])
