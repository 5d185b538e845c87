"""Tests mirror the source: src/nearfar/a/b.py is tested in tests/a/test_b.py."""

import ast
from collections.abc import Iterator
from pathlib import Path

from source_tree import ROOT, SRC, FunctionNode, parse, python_files, refuse, write_tree

# source file -> the test file that covers it: descriptions are tested all alike
DESCRIPTIONS = (
    "family.py",
    "encoders/families.py",
    "models/dar/family.py",
    "models/depthart/family.py",
    "models/ppd/family.py",
    "models/var_depth/family.py",
    "tokenizers/families.py",
    "weights/families.py",
)
EXCEPTIONS: dict[str, str] = dict.fromkeys(DESCRIPTIONS, "house/test_families.py")


def has_code(path: Path) -> bool:
    """Whether a file has a function body that does something (protocols and tables have none)."""
    for node in ast.walk(parse(path)):
        if isinstance(node, FunctionNode):
            body = node.body[1:] if ast.get_docstring(node) is not None else node.body
            if body and not all(ast.unparse(line) in ("...", "pass") for line in body):
                return True
    return False


def mirror_faults(src: Path, tests: Path, exceptions: dict[str, str]) -> Iterator[str]:
    for path in python_files(src):
        place = path.relative_to(src)
        if place.stem == "__main__":  # started as a process by the tests of its room
            continue
        name = "init" if place.stem == "__init__" else place.stem
        mirror = tests / place.parent / f"test_{name}.py"
        key = place.as_posix()
        if key in exceptions:
            if mirror.exists():
                yield f"{key} has its mirror now; shrink the exceptions"
            elif not (tests / exceptions[key]).exists():
                yield f"{key}: tests/{exceptions[key]} does not exist"
        elif has_code(path) and not mirror.exists():
            yield f"{key} has no tests/{mirror.relative_to(tests).as_posix()}"
    for key in exceptions:
        if not (src / key).exists():
            yield f"{key} is gone; shrink the exceptions"


def stray_faults(src: Path, tests: Path) -> Iterator[str]:
    """Test files of a room that mirror no source file."""
    for path in sorted(tests.rglob("test_*.py")):
        place = path.relative_to(tests)
        if place.parts[0] == "house":
            continue
        folder, name = src / place.parent, place.stem.removeprefix("test_")
        if not any((folder / f"{n}.py").exists() for n in (name, f"__{name}__")):
            yield f"tests/{place.as_posix()} mirrors no {folder.relative_to(src) / name}.py"


def test_every_module_has_its_test_file():
    refuse(mirror_faults(SRC, ROOT / "tests", EXCEPTIONS))


def test_every_test_file_has_its_module():
    refuse(stray_faults(SRC, ROOT / "tests"))


def test_no_test_is_skipped():
    words = ("skip", "skipif", "xfail", "importorskip")
    faults = []
    for path in sorted((ROOT / "tests").rglob("*.py")):
        for node in ast.walk(parse(path)):
            dotted = ast.unparse(node) if isinstance(node, ast.Attribute) else ""
            if dotted.startswith("pytest.") and dotted.rpartition(".")[2] in words:
                faults.append(f"{path.relative_to(ROOT)}:{node.lineno}: {dotted}")
    refuse(faults)


def test_seeded_violations_are_found(tmp_path):
    root = write_tree(
        tmp_path,
        {
            "src/__init__.py": "def __getattr__(name): return name\n",
            "src/a/__init__.py": '"""Map."""\n',
            "src/a/table.py": "ROWS = {}\n",
            "src/a/protocol.py": "class P:\n    def f(self):\n        '''Doc.'''\n        ...\n",
            "src/a/b.py": "def f():\n    return 1\n",
            "src/a/c.py": "def f():\n    return 1\n",
            "tests/test_init.py": "",
            "tests/a/test_c.py": "",
            "tests/a/test_old.py": "",
            "tests/house/test_x.py": "",
        },
    )
    src, tests = root / "src", root / "tests"
    assert list(mirror_faults(src, tests, {})) == ["a/b.py has no tests/a/test_b.py"]
    assert list(mirror_faults(src, tests, {"a/b.py": "a/test_c.py"})) == []
    assert len(list(mirror_faults(src, tests, {"a/b.py": "x", "a/c.py": "x", "d.py": "x"}))) == 3
    assert list(stray_faults(src, tests)) == ["tests/a/test_old.py mirrors no a/old.py"]
