"""How large things may be: file <= 400 lines, function <= 60, parameters of a function <= 8.

The exceptions may only shrink: an entry above the real number, or no longer needed, is a fault.
"""

import ast
from collections.abc import Iterator
from pathlib import Path

from source_tree import SRC, FunctionNode, functions, python_files, refuse, write_tree

FILE_LINES, FUNCTION_LINES, PARAMETERS = 600, 60, 8
EXCEPTIONS: dict[str, int] = {}  # "file.py" -> lines, "file.py::function lines|parameters" -> n


def is_option(argument: ast.arg) -> bool:
    """Whether a parameter is a command-line option (those are frozen by cli_options.txt)."""
    text = ast.unparse(argument.annotation) if argument.annotation else ""
    return text.startswith("Annotated[") or "typer." in text


def parameters(function: FunctionNode, room: str) -> int:
    """Parameters a caller may give, without self and cls, and without options of a verb."""
    a = function.args
    named = [*a.posonlyargs, *a.args, *a.kwonlyargs]
    if room == "cli":
        named = [argument for argument in named if not is_option(argument)]
    return sum(argument.arg not in ("self", "cls") for argument in named)


def measure(src: Path) -> Iterator[tuple[str, int, int, str]]:
    """(key, value, limit, place) of everything that has a limit."""
    for path in python_files(src):
        name = path.relative_to(src).as_posix()
        lines = path.read_text(encoding="utf-8").count("\n")
        yield name, lines, FILE_LINES, name
        for function in functions(path):
            place = f"{name}:{function.lineno}"
            length = (function.end_lineno or 0) - function.lineno + 1
            key = f"{name}::{function.name}"
            yield f"{key} lines", length, FUNCTION_LINES, place
            if not function.name.startswith("_") or function.name in ("__init__", "__call__"):
                count = parameters(function, name.partition("/")[0])
                yield f"{key} parameters", count, PARAMETERS, place


def size_faults(src: Path, exceptions: dict[str, int]) -> Iterator[str]:
    over = {}
    for key, value, limit, place in measure(src):
        if value > limit:
            over[key] = max(value, over.get(key, 0))
            if value > exceptions.get(key, limit):
                yield f"{place}: {key}: {value} > {limit}; split it by subject, or take a config"
    for key, value in exceptions.items():
        if over.get(key, 0) < value:
            yield f"exception {key!r}: {value} is now {over.get(key, 'within')}; shrink the list"


def mutable_default_faults(src: Path) -> Iterator[str]:
    """Default values that one call can change for the next."""
    for path in python_files(src):
        for function in functions(path):
            for default in [*function.args.defaults, *function.args.kw_defaults]:
                if isinstance(default, ast.List | ast.Dict | ast.Set):
                    place = f"{path.relative_to(src)}:{function.lineno}"
                    yield f"{place}: {function.name} has a mutable default; use None or a tuple"


def test_source_is_within_the_limits():
    refuse(size_faults(SRC, EXCEPTIONS))


def test_no_mutable_defaults():
    refuse(mutable_default_faults(SRC))


def test_seeded_violations_are_found(tmp_path):
    many = ", ".join(f"p{i}" for i in range(9))
    src = write_tree(
        tmp_path,
        {
            "ok.py": "x = 1\n" * 600,
            "io/long.py": "x = 1\n" * 601,
            "io/function.py": "def f():\n" + "    x = 1\n" * 60,
            "io/many.py": f"class A:\n    def __init__(self, {many}): ...\ndef _g({many}): ...\n",
            "cli/verb.py": "def f("
            + ", ".join(f"p{i}: Annotated[int, 1]" for i in range(9))
            + "): ...",
            "io/mutable.py": "def f(a=[]): ...\ndef g(*, a={}): ...\ndef h(a=()): ...\n",
        },
    )
    found = [fault.split(": ")[1] for fault in size_faults(src, {})]
    assert found == ["io/function.py::f lines", "io/long.py", "io/many.py::__init__ parameters"]
    assert len(list(mutable_default_faults(src))) == 2
    allowed = {"io/long.py": 601, "io/function.py::f lines": 61}
    assert len(list(size_faults(src, allowed))) == 1
    assert any("shrink" in fault for fault in size_faults(src, {"io/long.py": 602}))
    assert any("shrink" in fault for fault in size_faults(src, {"ok.py": 500}))
