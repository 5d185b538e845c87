"""The command line is a promise: every option is written down in cli_options.txt.

A change of an option must change that file on purpose:

    python tests/house/test_cli_snapshot.py --write
"""

import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

from source_tree import ROOT, refuse

SNAPSHOT = Path(__file__).with_name("cli_options.txt")

HELP_WITHOUT_TORCH = """
import sys
from nearfar.cli import run
codes = [run([*arguments.split()]) for arguments in sys.argv[1:]]
print("CODES", codes, "torch" in sys.modules)
"""


def type_name(parameter: Any) -> str:
    """int, str, Literal['a', 'b'], ...: as the verb's function annotates it."""
    annotation = parameter.type_descriptor.annotation
    plain = isinstance(annotation, type) and not hasattr(annotation, "__args__")
    text = annotation.__name__ if plain else str(annotation)
    return text.replace("typing.", "").replace("pathlib.", "")


def describe(command: Any, path: str) -> Iterator[str]:
    """One line per command and option: names, type, default."""
    yield path
    for parameter in command.params:
        names = "/".join([*parameter.opts, *parameter.secondary_opts])
        if type(parameter).__name__.endswith("Argument"):
            names = parameter.name.upper()
        default = (
            str(parameter.default) if isinstance(parameter.default, Path) else parameter.default
        )
        given = "required" if parameter.required else f"default={default!r}"
        yield f"    {names} {type_name(parameter)} {given}"
    for name, inner in sorted(getattr(command, "commands", {}).items()):
        yield from describe(inner, f"{path} {name}")


def current() -> str:
    """The whole command line as text."""
    import typer

    from nearfar.cli import VERBS, _build

    root = typer.main.get_command(_build(""))
    lines = [line for line in describe(root, "nearfar")][: 1 + len(root.params)]
    for verb in sorted(VERBS):
        command = typer.main.get_command(_build(verb))
        lines += describe(command.commands[verb], f"nearfar {verb}")
    return "\n".join(lines) + "\n"


def test_options_are_those_of_the_snapshot():
    assert current() == SNAPSHOT.read_text(encoding="utf-8"), __doc__


def test_snapshot_shows_names_types_and_defaults():
    import typer

    app = typer.Typer()

    @app.command()
    def verb(
        path: str, steps: int = typer.Option(4, "--steps", "-s"), on: bool = False
    ) -> None: ...

    lines = list(describe(typer.main.get_command(app), "nearfar verb"))
    assert lines[0] == "nearfar verb"
    assert any("PATH" in line and "required" in line for line in lines)
    assert any("--steps/-s int" in line and "default=4" in line for line in lines)
    assert any("--on/--no-on bool" in line for line in lines)


def example_faults(text: str, snapshot: str) -> Iterator[str]:
    """Example lines `nearfar VERB ...` of a document with a verb or option that does not exist."""
    commands = dict(re.findall(r"^(nearfar\S*(?: \w+)*)\n((?:    .*\n)*)", snapshot, re.MULTILINE))
    for line in re.findall(r"^(?: {4})?(nearfar .*)$", text, re.MULTILINE):
        words = line.partition("#")[0].split()
        known = [name for name in commands if name.split() == words[: len(name.split())]]
        if not any(name != "nearfar" for name in known):
            yield f"{line}: no such verb"
            continue
        options = {w.partition("=")[0] for w in words if w.startswith("-") and w != "-"}
        listed = set(re.findall(r"(?<![\w-])--?[\w-]+", commands[max(known, key=len)]))
        yield from (f"{line}: no option {name}" for name in sorted(options - listed))


def test_examples_in_documents_use_real_options():
    snapshot = SNAPSHOT.read_text(encoding="utf-8")
    documents = [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]
    refuse(f for path in documents for f in example_faults(path.read_text("utf-8"), snapshot))


def test_wrong_examples_are_found():
    snapshot = (
        "nearfar\n    --version bool default=False\n"
        "nearfar models\nnearfar models list\n    --json bool default=False\n"
        "nearfar predict\n    PHOTOS str required\n    -o/--output Path default=None\n"
    )
    good = "    nearfar predict a-b.jpg -o out  # --not an option\n    nearfar models list --json\n"
    bad = "    nearfar video a\n    nearfar predict a --out b\n    nearfar models list -o x\n"
    assert list(example_faults(good, snapshot)) == []
    assert len(list(example_faults(bad, snapshot))) == 3


def test_console_entries_exist_and_start():
    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]
    assert set(scripts) == {"nearfar"}
    for target in scripts.values():
        module, _, attribute = target.partition(":")
        assert callable(getattr(import_module(module), attribute))
    done = subprocess.run(
        [sys.executable, "-m", "nearfar.cli", "--version"],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stdout) == (0, f"{import_module('nearfar').__version__}\n")


def test_help_and_model_list_load_no_torch():
    from nearfar.cli import VERBS

    questions = ["--help", *(f"{verb} --help" for verb in VERBS), "models list"]
    done = subprocess.run(
        [sys.executable, "-c", HELP_WITHOUT_TORCH, *questions],
        capture_output=True,
        text=True,
        timeout=120,
    )
    last = done.stdout.splitlines()[-1] if done.stdout else done.stderr
    assert last == f"CODES {[0] * len(questions)} False", done.stderr[-2000:]


if __name__ == "__main__":
    text = current()
    if sys.argv[1:] == ["--write"]:
        SNAPSHOT.write_text(text, encoding="utf-8")
    print(text, end="")
