from pathlib import Path

import numpy as np
import pytest

from nearfar.errors import InputError
from nearfar.io.depth.metadata import from_json, kind_of_name, to_json


def test_round_trip(result_of):
    result = result_of("affine_depth")
    text = to_json(result)
    assert text.isascii() and "\n" not in text
    fields = from_json(text, Path("x"))
    assert np.array_equal(fields.pop("intrinsics"), result.intrinsics)
    assert fields == {name: result[name] for name in fields} and fields["kind"] == "affine_depth"


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"kind": "x"}', '{"kind":"metric","intrinsics":[1]}']
)
def test_damaged(text):
    with pytest.raises(InputError, match="metadata is damaged"):
        from_json(text, Path("x"))


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("a_depth.pfm", "metric"),
        ("a_affine_log_depth.pfm", "affine_log_depth"),
        ("a_affine_depth.png", "affine_depth"),
        ("a_scale_invariant_depth.pfm", "scale_invariant"),
        ("depth.pfm", None),
    ],
)
def test_kind_of_name(name, kind):
    assert kind_of_name(Path(name)) == kind
