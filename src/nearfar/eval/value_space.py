"""What a prediction's numbers are, as protocols speak of it, and who accepts what.

A protocol lists the value spaces it accepts and, for each, the conversion it makes first. Anything
else is refused: turning depth into disparity behind someone's back changes a number silently.
"""

from __future__ import annotations

from collections.abc import Mapping

from nearfar.errors import ConfigError
from nearfar.result import DepthKind

VALUE_SPACES = {
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
_POSITIVE = ("metric", "scale")  # those whose inverse and logarithm mean something


def value_space_of(kind: DepthKind) -> str:
    """The value space of a `DepthResult` of this kind."""
    return _OF_KIND[kind]


def conversion_for(accepts: Mapping[str, str], value_space: str, *, protocol: str) -> str:
    """The conversion a protocol makes of this value space; ConfigError if it accepts none."""
    if value_space in accepts:
        return accepts[value_space]
    wanted = ", ".join(f"{name} ({VALUE_SPACES[name]})" for name in accepts)
    raise ConfigError(
        f"protocol {protocol}",
        f"the prediction is {value_space} ({VALUE_SPACES[value_space]}); accepted are {wanted}",
        "Choose a protocol that accepts it; nearfar converts nothing silently",
    )


def checked_accepts(accepts: Mapping[str, str], *, where: str) -> dict[str, str]:
    """The table value space -> conversion of a protocol; ConfigError if it cannot be."""
    for value_space, conversion in accepts.items():
        if value_space not in VALUE_SPACES:
            raise ConfigError(
                where, f"unknown value space {value_space!r}", f"Use {', '.join(VALUE_SPACES)}"
            )
        if conversion not in CONVERSIONS or (conversion != "none" and value_space not in _POSITIVE):
            raise ConfigError(where, f"{value_space} cannot be converted by {conversion!r}")
    if not accepts:
        raise ConfigError(where, "accepts no value space")
    return dict(accepts)
