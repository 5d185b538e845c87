"""docs/map.md and README's tree are true: every named file and symbol exists, none is left out."""

import re
from collections.abc import Iterator
from pathlib import Path

from source_tree import ROOT, SRC, python_files, refuse, top_level_names, write_tree

MAP_ROW = re.compile(r"^\|(?P<what>[^|]+)\|\s*`(?P<path>[\w/.-]+)(?:::(?P<symbol>[\w.]+))?`\s*\|$")
TREE_ROW = re.compile(r"^(?P<indent> *)(?P<name>[\w.]+/?)(?:  +(?P<half_line>\S.*))?$")


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


def tree_entries(readme: str) -> dict[str, str]:
    """Path -> half line, for every file in README's tree of src/sonde."""
    block = re.search(r"^```\nsrc/sonde/\n(.*?)^```", readme, re.DOTALL | re.MULTILINE)
    entries: dict[str, str] = {}
    above: list[str] = []
    for line in block[1].splitlines() if block else []:
        match = TREE_ROW.match(line)
        if not match:
            entries[line.strip()] = ""
            continue
        del above[len(match["indent"]) // 2 - 1 :]
        if match["name"].endswith("/"):
            above.append(match["name"])
        else:
            entries["".join(above) + match["name"]] = match["half_line"] or ""
    return entries


def tree_faults(readme: str, src: Path) -> Iterator[str]:
    entries = tree_entries(readme)
    files = {p.relative_to(src).as_posix() for p in python_files(src)}
    files = {name for name in files if not name.endswith("__init__.py")} | {"__init__.py"}
    yield from (f"README tree: {name} is not listed" for name in sorted(files - set(entries)))
    yield from (f"README tree: {name} does not exist" for name in sorted(set(entries) - files))
    yield from (f"README tree: {name} says nothing" for name, text in entries.items() if not text)


def test_every_row_of_the_map_exists():
    refuse(map_faults(ROOT / "docs/map.md", ROOT))


def test_the_map_is_worth_reading():
    rows = (ROOT / "docs/map.md").read_text(encoding="utf-8").count("::")
    assert rows >= 35


def test_readme_tree_is_the_source_tree():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    refuse(tree_faults(readme, SRC))


def test_links_between_documents_exist():
    faults = []
    for document in [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]:
        text = document.read_text(encoding="utf-8")
        for link in re.findall(r"\]\(([^)#:]+?)(?:#[^)]*)?\)", text):
            if not (document.parent / link).exists():
                faults.append(f"{document.relative_to(ROOT)}: {link}")
    refuse(faults)


def test_seeded_violations_are_found(tmp_path):
    root = write_tree(
        tmp_path,
        {
            "src/sonde/__init__.py": "",
            "src/sonde/sampling/__init__.py": "",
            "src/sonde/sampling/euler.py": "LIMIT = 3\nclass A:\n    def step(self): ...\n",
            "docs/map.md": (
                "| where is | where |\n|---|---|\n"
                "| the step | `src/sonde/sampling/euler.py::step` |\n"
                "| the limit | `src/sonde/sampling/euler.py::LIMIT` |\n"
                "| heun | `src/sonde/sampling/euler.py::heun` |\n"
                "| gone | `src/sonde/gone.py::x` |\n"
                "| odd | see `src/sonde/sampling/euler.py` |\n"
            ),
        },
    )
    assert len(list(map_faults(root / "docs/map.md", root))) == 3
    readme = (
        "```\nsrc/sonde/\n  __init__.py     public names\n"
        "  sampling/       room\n    heun.py       another step\n```\n"
    )
    assert list(tree_faults(readme, root / "src/sonde")) == [
        "README tree: sampling/euler.py is not listed",
        "README tree: sampling/heun.py does not exist",
    ]
    refuse(tree_faults(readme.replace("heun.py ", "euler.py"), root / "src/sonde"))
