import pickle

import pytest

from nearfar import errors
from nearfar.errors import (
    ConfigError,
    DataError,
    InputError,
    MetricError,
    MissingExtraError,
    NearfarError,
    OutputError,
    ResourceError,
    WeightsError,
)

ALL = [
    (InputError, ValueError),
    (ConfigError, ValueError),
    (WeightsError, ValueError),
    (DataError, ValueError),
    (MetricError, ValueError),
    (OutputError, OSError),
    (ResourceError, MemoryError),
    (MissingExtraError, ImportError),
]


@pytest.mark.parametrize(("kind", "builtin"), ALL)
def test_message_has_where_finding_and_remedy(kind, builtin):
    error = kind("a.jpg", "is empty", "Copy it again")
    assert str(error) == "a.jpg: is empty. Copy it again"
    assert (error.where, error.finding, error.remedy) == ("a.jpg", "is empty", "Copy it again")
    assert isinstance(error, NearfarError) and isinstance(error, builtin)
    assert str(kind("a.jpg", "is empty.")) == "a.jpg: is empty."


@pytest.mark.parametrize(("kind", "builtin"), ALL)
def test_survives_another_process(kind, builtin):
    error = kind("a.jpg", "is empty", "Copy it again")
    back = pickle.loads(pickle.dumps(error))
    assert type(back) is kind and str(back) == str(error) and back.remedy == error.remedy
    with pytest.raises(builtin):
        raise back


def test_always_one_printable_line():
    error = InputError("a\nb\x1b[31m.jpg", "two\r\nlines", "try\tthis")
    assert "\n" not in str(error) and str(error).isprintable()
    assert "a\\nb" in str(error)
    assert "\u00e9" in str(InputError("\u00e9t\u00e9.jpg", "x"))


def test_every_error_of_the_module_is_tested():
    found = {
        value
        for value in vars(errors).values()
        if isinstance(value, type) and issubclass(value, NearfarError) and value is not NearfarError
    }
    assert found == {kind for kind, _ in ALL}
