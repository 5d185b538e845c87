"""docs/map.md is true: every named file and symbol exists, and its tree leaves none out.

The tree is made from the docstring maps of the rooms; after a change of files:

    python tests/house/test_map.py --write
"""

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

from source_tree import ROOT, SRC, parse, refuse, top_level_names, write_tree

MAP_ROW = re.compile(r"^\|(?P<what>[^|]+)\|\s*`(?P<path>[\w/.-]+)(?:::(?P<symbol>[\w.]+))?`\s*\|$")
MAP = ROOT / "docs/map.md"
HALF_LINE, TEXT_COLUMN = 72, 26
TREE_BLOCK = re.compile(r"^```\nsrc/nearfar/\n.*?^```", re.DOTALL | re.MULTILINE)


def map_faults(map_file: Path, root: Path) -> Iterator[str]:
    """Rows `| where is ... | `path::symbol` |` that do not parse or do not exist."""
    rows = [line for line in map_file.read_text(encoding="utf-8").splitlines() if "`" in line]
    for row in (row for row in rows if row.startswith("|")):
        match = MAP_ROW.match(row)
        if not match:
            yield f"docs/map.md: not a row `| what | path::symbol |`: {row}"
            continue
        path, symbol = root / match["path"], match["symbol"]
        if not path.exists():
            yield f"docs/map.md: {match['path']} does not exist"
        elif symbol and symbol not in top_level_names(path):
            yield f"docs/map.md: {match['path']} has no {symbol}"


def first_words(path: Path) -> str:
    """The first line of a file's docstring, as many of its clauses as fit half a line."""
    line = (ast.get_docstring(parse(path)) or "").split("\n")[0].rstrip(".")
    clauses = re.split(r"(?<=[:;,.]) (?![^(]*\))", line)
    while len(clauses) > 1 and len(" ".join(clauses)) > HALF_LINE:
        clauses.pop()
    return " ".join(clauses).rstrip(":;,.")


def half_line(path: Path, room_map: str) -> str:
    """What the room's map says about a file; without a line there, the file's own first words."""
    match = re.search(rf"^ *{re.escape(path.name)} {{2,}}(\S.*)$", room_map, re.MULTILINE)
    return match[1] if match else first_words(path)


def tree_lines(folder: Path, level: int = 1) -> Iterator[str]:
    """A folder of the source as indented lines: files, then rooms, each with half a line."""
    room_map = ast.get_docstring(parse(folder / "__init__.py")) or ""
    shown = [(path.name, half_line(path, room_map)) for path in sorted(folder.glob("*.py"))]
    for name, text in shown:
        if name != "__init__.py" or level == 1:
            yield f"{'  ' * level}{name:<{TEXT_COLUMN - 2 * level}}{text}"
    for room in sorted(path.parent for path in folder.glob("*/__init__.py")):
        text = first_words(room / "__init__.py")
        yield f"{'  ' * level}{room.name + '/':<{TEXT_COLUMN - 2 * level}}{text}"
        yield from tree_lines(room, level + 1)


def tree(src: Path) -> str:
    """The block of docs/map.md that shows the source, made from the docstring maps of the rooms."""
    return "\n".join(["```", "src/nearfar/", *tree_lines(src), "```"])


def shown_tree(document: str) -> str:
    """The block that the document shows now."""
    match = TREE_BLOCK.search(document)
    return match[0] if match else ""


def test_every_row_of_the_map_exists():
    refuse(map_faults(MAP, ROOT))


def test_the_map_is_worth_reading():
    rows = MAP.read_text(encoding="utf-8").count("::")
    assert rows >= 35


def test_the_tree_is_the_source_tree():
    assert shown_tree(MAP.read_text(encoding="utf-8")) == tree(SRC), (
        "run: python tests/house/test_map.py --write"
    )


def test_every_file_in_the_tree_says_what_it_is():
    refuse(f"docs/map.md, tree: {line}" for line in tree_lines(SRC) if len(line.split()) < 2)


def test_the_table_of_models_names_every_one():
    from nearfar.weights.registry import ENTRIES

    table = (ROOT / "docs/models.md").read_text(encoding="utf-8")
    refuse(f"docs/models.md: {name} is missing" for name in ENTRIES if f"`{name}`" not in table)


def test_seeded_violations_are_found(tmp_path):
    root = write_tree(
        tmp_path,
        {
            "src/nearfar/__init__.py": "",
            "src/nearfar/sampling/__init__.py": "",
            "src/nearfar/sampling/euler.py": "LIMIT = 3\nclass A:\n    def step(self): ...\n",
            "docs/map.md": (
                "| where is | where |\n|---|---|\n"
                "| the step | `src/nearfar/sampling/euler.py::step` |\n"
                "| the limit | `src/nearfar/sampling/euler.py::LIMIT` |\n"
                "| heun | `src/nearfar/sampling/euler.py::heun` |\n"
                "| gone | `src/nearfar/gone.py::x` |\n"
                "| odd | see `src/nearfar/sampling/euler.py` |\n"
            ),
        },
    )
    assert len(list(map_faults(root / "docs/map.md", root))) == 3


def test_tree_is_made_from_the_maps_of_the_rooms(tmp_path):
    src = write_tree(
        tmp_path,
        {
            "__init__.py": '"""Public names."""\n',
            "sampling/__init__.py": '"""The loop.\n\neuler.py   one step\n"""\n',
            "sampling/euler.py": '"""Another text."""\n',
            "sampling/heun.py": '"""Two slopes (arXiv 1): more."""\n',
        },
    )
    assert tree(src).splitlines() == [
        "```",
        "src/nearfar/",
        "  __init__.py             Public names",
        "  sampling/               The loop",
        "    euler.py              one step",
        "    heun.py               Two slopes (arXiv 1): more",
        "```",
    ]
    assert shown_tree(f"# Text\n\n{tree(src)}\n\nMore\n") == tree(src)


if __name__ == "__main__":
    text = MAP.read_text(encoding="utf-8")
    if sys.argv[1:] == ["--write"]:
        MAP.write_text(TREE_BLOCK.sub(lambda _: tree(SRC), text), encoding="utf-8")
    print(tree(SRC))
