"""Options become typer parameters with the defaults of their dataclass."""

import dataclasses
import inspect
import logging

import pytest
import typer

from nearfar.cli.options import PredictOptions, as_command, set_verbosity
from nearfar.errors import ConfigError
from nearfar.pipeline.config import DEFAULT_MODEL, PredictConfig


def test_defaults_are_those_of_the_pipeline():
    options = PredictOptions(inputs=["x"])
    assert options.config() == PredictConfig()
    assert options.model == DEFAULT_MODEL
    with pytest.raises(ConfigError, match="steps"):
        PredictOptions(inputs=["x"], steps=0).config()


def test_as_command_calls_the_work_with_one_object(capsys):
    @dataclasses.dataclass(frozen=True, kw_only=True)
    class Two:
        name: str
        count: int = 3

    seen = []

    def work(context: typer.Context, options: Two) -> None:
        """Say it."""
        seen.append(options)

    command = as_command(Two, work)
    assert list(inspect.signature(command).parameters) == ["context", "name", "count"]
    assert command.__doc__ == "Say it."
    app = typer.Typer()
    app.command()(command)
    typer.main.get_command(app).main(["n"], standalone_mode=False)
    assert seen == [Two(name="n", count=3)]


def test_verbosity_is_set_once_and_goes_to_standard_error(capsys):
    log = logging.getLogger("nearfar.test")
    for quiet, verbose, expected in [
        (False, False, ["nearfar: w", "nearfar: e"]),
        (True, False, ["nearfar: e"]),
        (False, True, ["nearfar: i", "nearfar: w", "nearfar: e"]),
    ]:
        set_verbosity(quiet=quiet, verbose=verbose)
        log.info("i")
        log.warning("w")
        log.error("e")
        assert capsys.readouterr().err.splitlines() == expected
