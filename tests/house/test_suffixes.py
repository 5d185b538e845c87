"""Shape suffixes: the letters of names such as image_B3HW are those of docs/shapes.md."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from source_tree import ROOT, SRC, parse, python_files, refuse, write_tree

SUFFIX = re.compile(r"^[a-z][a-z0-9_]*_([A-Z][A-Za-z0-9]*)$")
LEGEND_ROW = re.compile(r"^\| `(\w)` \|", re.MULTILINE)


def legend() -> set[str]:
    """The letters of docs/shapes.md; digits stand for themselves."""
    return set(LEGEND_ROW.findall((ROOT / "docs/shapes.md").read_text())) | set("0123456789")


def names(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Every name a file binds or uses: variables, parameters, fields, keywords, functions."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Name):
            yield node.lineno, node.id
        elif isinstance(node, ast.arg):
            yield node.lineno, node.arg
        elif isinstance(node, ast.Attribute):
            yield node.lineno, node.attr
        elif isinstance(node, ast.keyword) and node.arg:
            yield node.value.lineno, node.arg
        elif isinstance(node, ast.FunctionDef):
            yield node.lineno, node.name


def suffix_faults(src: Path, letters: set[str]) -> Iterator[str]:
    for path in python_files(src):
        for line, name in sorted(set(names(parse(path)))):
            match = SUFFIX.match(name)
            unknown = set(match.group(1)) - letters if match else set()
            if unknown:
                place = f"{path.relative_to(src)}:{line}"
                yield f"{place}: {name}: {''.join(sorted(unknown))} is not in docs/shapes.md"


def test_source_uses_the_letters_of_the_legend():
    refuse(suffix_faults(SRC, legend()))


def test_legend_is_the_one_of_the_house():
    assert legend() == set("BTCHWhwLMDNEKVPSR0123456789")


def test_seeded_violations_are_found(tmp_path):
    source = {
        "ok.py": "def f(image_B3HW, points_HW3): return q_BNLE.view(tokens_hw=_M_TRIM)\n",
        "a.py": "x_BQ = 1\n",
        "b.py": "def f(x_BXY): ...\n",
        "c.py": "class A:\n    x_BZ: int\n",
        "d.py": "self.y_BU = 1\n",
    }
    faults = list(suffix_faults(write_tree(tmp_path, source), legend()))
    assert {fault.split(":")[0] for fault in faults} == set(source) - {"ok.py"}
