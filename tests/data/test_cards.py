from dataclasses import replace

import pytest

from sonde.data.benchmarks.cards import NYU
from sonde.errors import ConfigError


def test_only_a_clear_licence_allows_commercial_use():
    allowed = [replace(NYU, commercial=c).allows_commercial_use for c in (True, False, None)]
    assert allowed == [True, False, False]


@pytest.mark.parametrize(
    ("change", "finding"),
    [
        ({"place": "sea"}, "place 'sea'"),
        ({"module": "sonde.data"}, "module"),
        ({"splits": ()}, "splits"),
        ({"fingerprints": {"test": "b6fd"}}, "test is no SHA-256"),
    ],
)
def test_a_wrong_card_is_refused(change, finding):
    with pytest.raises(ConfigError, match=finding):
        replace(NYU, **change)
