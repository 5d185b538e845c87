"""How metrics are shown: title, which way is better, and digits."""

from __future__ import annotations

import math

_TITLES = {
    "abs_rel": "AbsRel",
    "sq_rel": "SqRel",
    "rmse": "RMSE (m)",
    "rmse_log": "RMSE log",
    "log10": "log10",
    "silog": "SILog x100",
    "i_rmse": "iRMSE (1/m)",
    "delta1": "delta1",
    "boundary_f1": "boundary F1",
    "boundary_f1_masked": "boundary F1 (masked)",
    "chamfer_m": "edge Chamfer (m)",
    "chamfer_log": "edge Chamfer (log)",
    "edge_chamfer": "edge Chamfer (m)",
    "edge_chamfer_log": "edge Chamfer (log)",
    "flywin": "flying pixels",
    "flying": "flying pixels",
    "fly3d": "flying points",
    "tae": "TAE",
    "ause": "AUSE",
    "aurg": "AURG",
}
_HIGHER = ("delta", "boundary_f1", "boundary_recall", "windowed_boundary", "f1", "recall")
_HIGHER_ALSO = ("precision", "accuracy", "aurg", "spearman", "da2k")


def title_of(name: str) -> str:
    """The name of a metric as tables print it."""
    return _TITLES.get(name, name.replace("_", " "))


def higher_is_better(name: str) -> bool:
    """Whether larger values of the metric are better; shares of wrong pixels are not."""
    if name.endswith("_error"):
        return False
    return name.startswith((*_HIGHER, *_HIGHER_ALSO)) or name.endswith(("_accuracy", "_f1"))


def shown(value: float | None, digits: int = 4) -> str:
    """A value with some significant digits, a dash where there is none."""
    if value is None or not math.isfinite(value):
        return "-"
    return f"{value:.0f}" if abs(value) >= 10**digits else f"{value:.{digits}g}"


def arrow(name: str) -> str:
    """'up' or 'down': the better direction, for column heads."""
    return "up" if higher_is_better(name) else "down"
