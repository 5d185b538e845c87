"""Errors: one printable line with where, finding, remedy; the families users catch."""

import pickle

import pytest

from sonde import errors
from sonde.errors import InputError, OutputError, ResourceError, SondeError


def test_message_is_where_finding_remedy():
    error = InputError("a.jpg", "no image.", "Give a photo")
    assert str(error) == "a.jpg: no image. Give a photo"
    assert (error.where, error.finding, error.remedy) == ("a.jpg", "no image", "Give a photo")
    assert str(InputError("a.jpg", "no image")) == "a.jpg: no image."


@pytest.mark.parametrize("name", ["a\nb.jpg", "a\x1b[31mb.jpg", "a\tb\r.jpg", "a\u2028b"])
def test_control_characters_stay_on_one_line_and_off_the_terminal(name):
    text = str(InputError(name, f"{name} is odd", f"rename {name}"))
    assert len(text.splitlines()) == 1
    assert text.isprintable()


def test_non_ascii_names_stay_readable():
    assert "Füße 写真.jpg" in str(InputError("Füße 写真.jpg", "no image"))


@pytest.mark.parametrize(
    ("name", "family"),
    [
        ("InputError", ValueError),
        ("ConfigError", ValueError),
        ("WeightsError", ValueError),
        ("DataError", ValueError),
        ("MetricError", ValueError),
        ("OutputError", OSError),
        ("ResourceError", MemoryError),
        ("MissingExtraError", ImportError),
    ],
)
def test_each_error_belongs_to_a_standard_family(name, family):
    kind = getattr(errors, name)
    assert issubclass(kind, SondeError)
    with pytest.raises(family, match="here: broken"):
        raise kind("here", "broken")


@pytest.mark.parametrize("kind", [InputError, OutputError, ResourceError])
def test_errors_cross_process_borders(kind):
    again = pickle.loads(pickle.dumps(kind("a.png", "full", "Free some space")))
    assert type(again) is kind
    assert str(again) == "a.png: full. Free some space"
    assert again.remedy == "Free some space"
