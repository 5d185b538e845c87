"""How metrics are shown and judged: title, which way is better, and digits."""

from __future__ import annotations

import math

_TITLES = {
    "abs_rel": "AbsRel",
    "sq_rel": "SqRel",
    "rmse": "RMSE (m)",
    "rmse_log": "RMSE log",
    "i_rmse": "iRMSE (1/m)",
    "silog": "SILog x100",
    "boundary_f1": "boundary F1",
    "boundary_f1_masked": "boundary F1 (masked)",
    "edge_chamfer_m": "edge Chamfer (m)",
    "edge_chamfer_log": "edge Chamfer (log)",
    "edge_fly3d": "flying points",
    "flying_rate": "flying pixels",
    "tae": "TAE (%)",
    "tae_v2": "TAE v2 (%)",
    "tae_v2_checked": "TAE v2, visible (%)",
    "opw": "OPW",
    "flicker": "flicker (ln)",
    "scale_drift": "scale drift (ln, 100 frames)",
    "ause_abs_rel": "AUSE AbsRel",
    "aurg_abs_rel": "AURG AbsRel",
}
_HIGHER = ("delta", "boundary_", "windowed_boundary", "aurg_", "spearman", "pair_accuracy")
_HIGHER_ALSO = ("dde_equal",)
_COVERAGE = "coverage_"
_GOALS = {"scale_drift": 0.0}  # signed
_NEITHER = ("sharpness",)  # no goal by itself: narrow intervals are good only if they cover


def title_of(name: str) -> str:
    """The name of a metric as tables print it."""
    return _TITLES.get(name, name.replace("_", " "))


def goal_of(name: str) -> float | None:
    """The value a metric should have, where neither more nor less is better; else None.

    `coverage_90` should be 0.9: more means intervals that are too wide, less too narrow.
    """
    level = name.removeprefix(_COVERAGE)
    if level != name and level.isdigit():
        return int(level) / 100
    return _GOALS.get(name)


def is_judged(name: str) -> bool:
    """Whether one value of the metric can be better than another."""
    return name not in _NEITHER


def higher_is_better(name: str) -> bool:
    """Whether larger values are better; shares of wrong pixels and distances to a goal are not."""
    return not name.endswith("_error") and name.startswith((*_HIGHER, *_HIGHER_ALSO))


def shown(value: float | None, digits: int = 4) -> str:
    """A value with some significant digits, a dash where there is none."""
    if value is None or not math.isfinite(value):
        return "-"
    return f"{value:.0f}" if abs(value) >= 10**digits else f"{value:.{digits}g}"


def arrow(name: str) -> str:
    """'up', 'down' or 'to 0.9', the better direction, for column heads; '' where there is none."""
    if not is_judged(name):
        return ""
    goal = goal_of(name)
    if goal is not None:
        return f"to {goal:g}"
    return "up" if higher_is_better(name) else "down"
