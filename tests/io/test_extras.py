import pytest

from sonde.errors import MissingExtraError
from sonde.io.extras import load_extra


def test_present_and_absent():
    assert load_extra("json", install="x").dumps(1) == "1"
    with pytest.raises(MissingExtraError, match=r"no_such_module.*pip install sonde\[x\]"):
        load_extra("no_such_module", install="sonde[x]")
