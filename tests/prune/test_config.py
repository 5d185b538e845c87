"""Impossible prunings are refused with the value that is wrong."""

import pytest

from nearfar.errors import ConfigError
from nearfar.prune.config import PruneConfig


@pytest.mark.parametrize(
    ("values", "finding"),
    [
        ({"mode": "some"}, "mode: 'some'"),
        (
            {"mode": "structured", "method": "wanda"},
            "does not prune structured. Use one of obs, l1",
        ),
        ({"mode": "nm", "method": "l1"}, "does not prune nm"),
        ({"mode": "unstructured", "sparsity": 1.0}, "sparsity: 1"),
        ({"mode": "unstructured", "sparsity": float("nan")}, "sparsity: nan"),
        ({"mode": "nm", "nm": (4, 4)}, "nm: 4:4"),
        ({"mode": "nm", "packages": 0}, "packages: 0"),
        ({"mode": "nm", "steps": 0}, "steps: 0"),
        ({"mode": "nm", "damp": 0.0}, "damp: 0"),
        ({"mode": "nm", "weighting": "cosine"}, "'cosine'"),
    ],
)
def test_refusals(values, finding):
    with pytest.raises(ConfigError) as error:
        PruneConfig(**values)
    assert finding in str(error.value)


def test_a_pruning_in_one_line():
    assert PruneConfig(mode="nm").line(16) == "nm 2:4 by obs, 16 photos, 4 packages"
    text = PruneConfig(mode="structured", sparsity=0.3, method="l1", packages=1).line(2)
    assert text == "structured 0.3 by l1, 2 photos, 1 packages"
