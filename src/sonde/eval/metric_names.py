"""How metrics are shown: title, which way is better, and digits."""

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
    "tae": "TAE",
    "ause_abs_rel": "AUSE AbsRel",
    "aurg_abs_rel": "AURG AbsRel",
}
_HIGHER = ("delta", "boundary_", "windowed_boundary", "aurg_", "spearman", "pair_accuracy")
_HIGHER_ALSO = ("dde_equal",)
_NEITHER = ("coverage_", "sharpness")  # best at the stated level, or no goal by itself


def title_of(name: str) -> str:
    """The name of a metric as tables print it."""
    return _TITLES.get(name, name.replace("_", " "))


def higher_is_better(name: str) -> bool:
    """Whether larger values of the metric are better; shares of wrong pixels are not."""
    return not name.endswith("_error") and name.startswith((*_HIGHER, *_HIGHER_ALSO))


def shown(value: float | None, digits: int = 4) -> str:
    """A value with some significant digits, a dash where there is none."""
    if value is None or not math.isfinite(value):
        return "-"
    return f"{value:.0f}" if abs(value) >= 10**digits else f"{value:.{digits}g}"


def arrow(name: str) -> str:
    """'up' or 'down', the better direction, for column heads; '' where neither is."""
    if name.startswith(_NEITHER):
        return ""
    return "up" if higher_is_better(name) else "down"
