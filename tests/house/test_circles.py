"""No import circle anywhere, imports inside functions included: what is below never looks up."""

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

from source_tree import SRC, imports, python_files, refuse, write_tree
from test_layers import INSIDE_FUNCTIONS

Edges = dict[str, dict[str, int]]  # module -> what it imports -> line


def edges_of(src: Path) -> Edges:
    """Who imports whom when it runs; annotations (TYPE_CHECKING) do not, nor the one open door.

    The door is that of docs/decisions/001-result-methods.md.
    """
    names = {_name(path, src): path for path in python_files(src)}
    edges: Edges = {}
    for name, path in names.items():
        room = path.relative_to(src).parts[0].removesuffix(".py")
        door = INSIDE_FUNCTIONS.get(room, "").split()
        edges[name] = {}
        for found in imports(path, src):
            whole, parent = found.target, found.target.rpartition(".")[0]
            target = whole if whole in names else parent
            through_door = found.when == "call" and target.split(".")[1:2] in [[d] for d in door]
            if found.when != "typing" and target in names and target != name and not through_door:
                edges[name].setdefault(target, found.line)
    return edges


def _name(path: Path, src: Path) -> str:
    parts = ("nearfar", *path.relative_to(src).with_suffix("").parts)
    return ".".join(part for part in parts if part != "__init__")


def circles(edges: Edges) -> Iterator[list[str]]:
    """A shortest circle through every module that is on one and was in none before."""
    shown: set[str] = set()
    for start in sorted(edges):
        if start in shown:
            continue
        ways, queue = {start: [start]}, [start]
        while queue:
            here = queue.pop(0)
            if start in edges[here]:
                shown.update(ways[here])
                yield [*ways[here], start]
                break
            for target in edges[here]:
                if target not in ways:
                    ways[target] = [*ways[here], target]
                    queue.append(target)


def circle_faults(src: Path) -> Iterator[str]:
    edges = edges_of(src)
    for circle in circles(edges):
        steps = [f"{a} (line {edges[a][b]})" for a, b in pairwise(circle)]
        yield f"circle: {' -> '.join(steps)} -> {circle[-1]}; move what both need below them"


def test_there_is_no_circle():
    refuse(circle_faults(SRC))


def test_seeded_circles_are_found(tmp_path):
    good = {
        "a.py": "from .b import x\n",
        "b.py": "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from .a import T\n",
        "result.py": "def save():\n    from nearfar.io.writers import w\n",
        "io/__init__.py": "",
        "io/writers.py": "from nearfar.result import R\n",
    }
    assert list(circle_faults(write_tree(tmp_path / "good", good))) == []
    bad = good | {
        "b.py": "def f():\n    from .c import g\n",
        "c.py": "import nearfar.a\nfrom nearfar import a\n",
        "d.py": "from nearfar.e import h\n",
        "e.py": "def h():\n    from . import d\n",
    }
    faults = list(circle_faults(write_tree(tmp_path / "bad", bad)))
    assert len(faults) == 2
    assert faults[0].startswith("circle: nearfar.a (line 1) -> nearfar.b (line 2) -> nearfar.c")
    assert "nearfar.d (line 1) -> nearfar.e (line 2) -> nearfar.d" in faults[1]
