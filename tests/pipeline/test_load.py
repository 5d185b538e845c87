"""`load` refuses what it cannot give, and hands the file's identity on."""

import pytest

from sonde.errors import ConfigError, WeightsError
from sonde.pipeline.load import load


@pytest.mark.parametrize(
    ("arguments", "error", "word"),
    [
        ({"name": "ppd-tinny"}, ConfigError, "ppd-tiny"),
        ({"name": "ppd-tiny", "device": "tpu"}, ConfigError, "unknown device 'tpu'"),
        ({"name": "ppd-tiny", "dtype": "int4"}, ConfigError, "unknown dtype 'int4'"),
        ({"name": "no/such/file.safetensors"}, WeightsError, "no such file"),
    ],
    ids=["name", "device", "dtype", "file"],
)
def test_refusals(arguments, error, word):
    with pytest.raises(error, match=word):
        load(**arguments)
