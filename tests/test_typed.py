"""Plain values become configs only if every one of them fits its type."""

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import pytest

from nearfar.errors import ConfigError
from nearfar.typed import from_table, typed


@dataclass(frozen=True, kw_only=True)
class Inner:
    width: int = 1


@dataclass(frozen=True, kw_only=True)
class Outer:
    share: float
    name: str = ""
    sides: tuple[int, int] = (1, 2)
    levels: tuple[int | None, ...] = ()
    inner: Inner | None = None
    mode: Literal["a", "b"] = "a"
    folder: Path = Path()
    more: dict[str, object] = field(default_factory=dict)


def test_a_table_of_right_values():
    table = {"share": 1, "sides": [3, 4], "levels": [1, None], "inner": {"width": 5}, "mode": "b"}
    found = from_table(Outer, table | {"folder": "x", "more": {"k": [1, 2.5, "t"]}}, where="t")
    assert found == Outer(
        share=1.0,
        sides=(3, 4),
        levels=(1, None),
        inner=Inner(width=5),
        mode="b",
        folder=Path("x"),
        more={"k": [1, 2.5, "t"]},
    )
    assert type(found.share) is float


@pytest.mark.parametrize(
    ("key", "value", "finding"),
    [
        ("share", math.nan, "t.share: nan is not a finite number"),
        ("share", math.inf, "t.share: inf is not a finite number"),
        ("share", True, "t.share: True is true or false. It must be a number"),
        ("share", "1", "t.share: '1' is text. It must be a number"),
        ("share", 10**400, "t.share: a whole number of more than 63 bits"),
        ("name", 3, "t.name: 3 is a whole number. It must be text"),
        ("name", "x" * 5000, "t.name: a text of 5000 characters"),
        ("sides", [1, 2, 3], "t.sides: 3 values. 2 are needed"),
        ("sides", 3, "t.sides: 3 is a whole number"),
        ("levels", [1.5], "1.5 is a number"),
        ("levels", [1] * 5000, "t.levels: 5000 values"),
        ("inner", {"wide": 1}, "wide: unknown key. Did you mean width"),
        ("inner", {"width": None}, "width: None is NoneType"),
        ("inner", [], "t.inner: [] is list"),
        ("mode", "c", "t.mode: 'c' is text"),
        ("mode", [], "t.mode: [] is list"),
        ("more", {"a": {"b": [1, math.inf]}}, "t.more.a.b: inf is not a finite number"),
        ("shore", 1, "t: shore: unknown key. Did you mean share"),
    ],
)
def test_what_does_not_fit_is_named(key, value, finding):
    with pytest.raises(ConfigError) as caught:
        from_table(Outer, {"share": 1.0, key: value}, where="t")
    assert finding in str(caught.value)
    assert len(str(caught.value)) < 300


def test_what_is_missing_is_named():
    with pytest.raises(ConfigError, match="t: missing .*'share'"):
        from_table(Outer, {}, where="t")


def test_a_whole_number_stays_one_where_both_fit():
    assert type(typed(3, int | float, "t")) is int
    assert type(typed(True, bool | int | float | str, "t")) is bool
