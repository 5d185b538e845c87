"""What a prediction's numbers are, as protocols speak of it, and who accepts what.

A protocol lists the families it accepts and, for each, the conversion it makes first. Anything else
is refused: turning depth into disparity behind someone's back changes a number silently.
"""

from __future__ import annotations

from collections.abc import Mapping

from nearfar.errors import ConfigError
from nearfar.result import DepthKind

FAMILIES = {
    "metric": "metres",
    "scale": "metres up to a factor",
    "affine_depth": "metres up to a factor and a shift",
    "affine_disparity": "1/metres up to a factor and a shift",
    "affine_log1p": "ln(metres + 1) up to a factor and a shift",
    "affine_log": "ln(metres) up to a factor and a shift",
}
CONVERSIONS = ("none", "disparity", "log1p", "log")
_OF_KIND = {
    DepthKind.METRIC: "metric",
    DepthKind.SCALE_INVARIANT: "scale",
    DepthKind.AFFINE_DEPTH: "affine_depth",
    DepthKind.AFFINE_LOG_DEPTH: "affine_log1p",
}
_POSITIVE = ("metric", "scale")  # families whose inverse and logarithm mean something


def family_of(kind: DepthKind) -> str:
    """The family of a `DepthResult` of this kind."""
    return _OF_KIND[kind]


def conversion_for(accepts: Mapping[str, str], family: str, *, protocol: str) -> str:
    """What a protocol does to a prediction of this family first; ConfigError if it refuses it."""
    if family in accepts:
        return accepts[family]
    wanted = ", ".join(f"{name} ({FAMILIES[name]})" for name in accepts)
    raise ConfigError(
        f"protocol {protocol}",
        f"the prediction is {family} ({FAMILIES[family]}); accepted are {wanted}",
        "Choose a protocol of that family; nearfar inverts nothing silently",
    )


def checked_accepts(accepts: Mapping[str, str], *, where: str) -> dict[str, str]:
    """The table family -> conversion of a protocol; ConfigError if it cannot be."""
    for family, conversion in accepts.items():
        if family not in FAMILIES:
            raise ConfigError(where, f"unknown family {family!r}", f"Use {', '.join(FAMILIES)}")
        if conversion not in CONVERSIONS or (conversion != "none" and family not in _POSITIVE):
            raise ConfigError(where, f"{family} cannot be converted by {conversion!r}")
    if not accepts:
        raise ConfigError(where, "accepts no family")
    return dict(accepts)
