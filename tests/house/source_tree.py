"""What the rules of the house read: the source files, their syntax trees, and what they import.

Every rule is a function of a folder `src` (src/nearfar, or a small mock tree in its self-test) that
yields one line per fault: file:line, the finding, the remedy.
"""

import ast
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]
SRC = ROOT / "src" / "nearfar"

FunctionNode = ast.FunctionDef | ast.AsyncFunctionDef


class Import(NamedTuple):
    """One imported name: its line, dotted target, relative level, and when it happens."""

    line: int
    target: str
    level: int
    when: str  # "import" of the module, "call" of a function, or "typing" only


def python_files(src: Path) -> list[Path]:
    """All modules below src, sorted."""
    return sorted(path for path in src.rglob("*.py") if "__pycache__" not in path.parts)


@cache
def _parse(path: Path, _changed: int) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))


def parse(path: Path) -> ast.Module:
    """The syntax tree of a file, parsed once for all rules."""
    return _parse(path, path.stat().st_mtime_ns)


def room_of(path: Path, src: Path) -> str:
    """The room of a file: its first folder, or the name of a top-level module."""
    return path.relative_to(src).parts[0].removesuffix(".py")


def imports(path: Path, src: Path) -> Iterator[Import]:
    """Every import of a file, relative ones resolved, literal `import_module` calls included."""
    place = ["nearfar", *path.relative_to(src).with_suffix("").parts]
    if place[-1] == "__init__":
        place[-1] = ""
    yield from _imports(parse(path).body, place, "import")


def _imports(nodes: list[ast.stmt], place: list[str], when: str) -> Iterator[Import]:
    for node in nodes:
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            yield from _imports(node.body, place, "typing")
            yield from _imports(node.orelse, place, when)
            continue
        if isinstance(node, ast.Import):
            yield from (Import(node.lineno, a.name, 0, when) for a in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = ".".join(place[: len(place) - node.level]) if node.level else ""
            module = ".".join(part for part in (base, node.module) if part)
            for alias in node.names:
                yield Import(node.lineno, f"{module}.{alias.name}", node.level, when)
        inner = "call" if isinstance(node, FunctionNode) and when == "import" else when
        for field in ("body", "orelse", "finalbody", "handlers", "cases"):
            blocks = getattr(node, field, [])
            for block in blocks if isinstance(blocks, list) else []:
                if isinstance(block, ast.ExceptHandler | ast.match_case):
                    yield from _imports(block.body, place, inner)
                elif isinstance(block, ast.stmt):
                    yield from _imports([block], place, inner)
        if not isinstance(node, FunctionNode | ast.ClassDef):
            yield from _dynamic_imports(node, when)


def _dynamic_imports(node: ast.stmt, when: str) -> Iterator[Import]:
    """`import_module("literal")` in the expressions of one statement (not in nested blocks)."""
    expressions = [child for child in ast.iter_child_nodes(node) if isinstance(child, ast.expr)]
    for expression in expressions:
        for call in ast.walk(expression):
            if isinstance(call, ast.Call) and ast.unparse(call.func).endswith("import_module"):
                first = call.args[0] if call.args else None
                if isinstance(first, ast.Constant) and isinstance(first.value, str):
                    yield Import(call.lineno, first.value, 0, when)


def functions(path: Path) -> Iterator[FunctionNode]:
    """Every function and method of a file, nested ones included."""
    for node in ast.walk(parse(path)):
        if isinstance(node, FunctionNode):
            yield node


def calls(path: Path) -> Iterator[tuple[ast.Call, str]]:
    """Every call of a file with the dotted text of what is called."""
    for node in ast.walk(parse(path)):
        if isinstance(node, ast.Call):
            yield node, ast.unparse(node.func)


def top_level_names(path: Path) -> set[str]:
    """Functions, classes, methods and constants a file defines."""
    names = {n.name for n in ast.walk(parse(path)) if isinstance(n, FunctionNode | ast.ClassDef)}
    for node in parse(path).body:
        targets = node.targets if isinstance(node, ast.Assign) else []
        if isinstance(node, ast.AnnAssign):
            targets = [node.target]
        names |= {target.id for target in targets if isinstance(target, ast.Name)}
    return names


def write_tree(root: Path, files: dict[str, str]) -> Path:
    """A mock tree: relative path -> text; returns its root."""
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return root


def refuse(faults: Iterable[str]) -> None:
    """Fail with one fault a line, all of them."""
    lines = list(faults)
    assert not lines, "\n" + "\n".join(lines)
