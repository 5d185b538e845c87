"""Reports are plain values with a true word on speed."""

import json

import pytest

from nearfar.prune.config import PruneConfig
from nearfar.prune.report import LayerReport, PruneReport


@pytest.mark.parametrize(
    ("mode", "words"),
    [("unstructured", "no faster"), ("nm", "nearfar does not use"), ("structured", "smaller")],
)
def test_table_is_json_with_a_note(mode, words):
    layer = LayerReport(name="a", kept=3, removed=1, error=0.1)
    numbers = dict.fromkeys(
        ("zeros", "deviation", "spread", "seconds_before", "seconds_after", "seconds"), 0.5
    )
    counts = dict.fromkeys(("photos", "compared", "parameters_before", "parameters_after"), 4)
    report = PruneReport(
        model="m", config=PruneConfig(mode=mode), layers=(layer,), **numbers, **counts
    )
    table = json.loads(json.dumps(report.as_table()))
    assert table["layers"] == [{"name": "a", "kept": 3, "removed": 1, "error": 0.1}]
    assert table["config"]["mode"] == mode and words in table["note"]
