"""What docstrings and documents point to is there: sections, files of the repository, links.

A paper is cited by arXiv id; what this repository adds to it, by `docs/NAME.md section N` (N.M:
point M of that section). Notes that nobody else has (`spec NAME.md`) are no source.
"""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from source_tree import ROOT, SRC, python_files, refuse, write_tree

PRIVATE = re.compile(r"\bspec (?:section|[A-Z]?\d|[\w.]+\.md)", re.IGNORECASE)
SECTION = re.compile(
    r"docs/(\w+)\.md,?\s+(?:sections?\s+)?(\d[\d.]*(?:(?:,| and|, and) \d[\d.]*)*)"
)
PATH = re.compile(r"(?<![\w./-])((?:benchmarks|docs|recipes|scripts|tests)/[\w./-]+\.\w+)")
LINK = re.compile(r"\]\(([^)\s:]*?)(?:#([^)\s]*))?\)")
HISTORY = {"CHANGELOG.md"}  # tells what once was

# Rooms that still cite private notes or files that have moved: none. It stays so.
STILL_PRIVATE: set[str] = set()


def sections(document: str) -> set[str]:
    """Numbers of the sections (`## 3. Title`) and of the points in them (`4. ...`): 3, 3.4."""
    found, section = set(), ""
    for line in document.splitlines():
        heading, point = re.match(r"## (\d+)\. ", line), re.match(r"(\d+)\. ", line)
        if line.startswith("## "):
            section = heading[1] if heading else ""
        found |= {section} | ({f"{section}.{point[1]}"} if section and point else set())
    return found


def text_faults(text: str, root: Path) -> Iterator[str]:
    """Citations in a text that do not resolve."""
    yield from (f"{match[0]!r} is not in the repository" for match in PRIVATE.finditer(text))
    for match in SECTION.finditer(text):
        document = root / "docs" / f"{match[1]}.md"
        known = sections(document.read_text(encoding="utf-8")) if document.exists() else set()
        for number in re.findall(r"\d+(?:\.\d+)*", match[2]):
            if number not in known:
                yield f"docs/{match[1]}.md has no section {number}"
    for match in PATH.finditer(text):
        if not (root / match[1]).exists():
            yield f"{match[1]} does not exist"


def room_faults(src: Path, root: Path, exceptions: set[str]) -> Iterator[str]:
    """Faults of the source; a room of the exceptions without any is a fault too."""
    at_fault = set()
    for path in python_files(src):
        room = path.relative_to(src).parts[0]
        for fault in text_faults(path.read_text(encoding="utf-8"), root):
            at_fault.add(room)
            if room not in exceptions:
                yield f"{path.relative_to(src)}: {fault}; cite arXiv or a section of docs/"
    for room in sorted(exceptions - at_fault):
        yield f"{room}/ cites nothing private any more; take it off the exceptions"


def documents(root: Path) -> list[Path]:
    return [p for p in [*root.glob("*.md"), *(root / "docs").rglob("*.md")] if p.is_file()]


def anchors(document: str) -> set[str]:
    """The link targets of a document's headings."""
    heads = re.findall(r"^#+ (.+)$", document, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}


def link_faults(root: Path) -> Iterator[str]:
    """Relative links of documents to files or headings that are not there."""
    for document in documents(root):
        text = document.read_text(encoding="utf-8")
        for place, heading in LINK.findall(text):
            target = document.parent / place if place else document
            if not target.exists():
                yield f"{document.relative_to(root)}: {place} does not exist"
            elif heading and heading not in anchors(target.read_text(encoding="utf-8")):
                yield f"{document.relative_to(root)}: {place} has no heading #{heading}"


def test_citations_of_the_source_resolve():
    refuse(room_faults(SRC, ROOT, STILL_PRIVATE))


def test_citations_of_documents_scripts_and_recipes_resolve():
    files = [path for path in documents(ROOT) if path.name not in HISTORY]
    for folder, suffix in (("scripts", "py"), ("benchmarks", "py"), ("recipes", "toml")):
        files += sorted((ROOT / folder).rglob(f"*.{suffix}"))
    tree = re.compile(r"^```\nsrc/nearfar/\n.*?^```", re.DOTALL | re.MULTILINE)
    refuse(
        f"{path.relative_to(ROOT)}: {fault}"
        for path in files
        for fault in text_faults(tree.sub("", path.read_text(encoding="utf-8")), ROOT)
    )


def test_links_between_documents_exist():
    refuse(link_faults(ROOT))


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("as the paper says (arXiv 2510.07316; docs/ppd.md section 1.2)", 0),
        ("docs/ppd.md sections 1, 1.2 and 2; docs/ppd.md 1.1", 0),
        ("spec ppd.md section 4", 1),
        ("Spec section 2.7", 1),
        ("(spec 2.8)", 1),
        ("(spec C2)", 1),
        ("docs/ppd.md sections 1, 9", 1),
        ("docs/ppd.md section 2.1", 1),
        ("docs/gone.md section 1", 2),
        ("measured by benchmarks/gone.py", 1),
    ],
)
def test_seeded_citations_are_judged(tmp_path, text, count):
    document = (
        "# PPD\n\n## 1. Network\n1. Patches\n2. Time\n\n## 2. Path\nText\n\n## Notes\n1. No\n"
    )
    root = write_tree(tmp_path, {"docs/ppd.md": document})
    assert len(list(text_faults(text, root))) == count
    src = write_tree(tmp_path / "src", {"eval/a.py": f'"""{text}."""\n'})
    assert len(list(room_faults(src, root, set()))) == count
    assert len(list(room_faults(src, root, {"eval"}))) == (0 if count else 1)


def test_seeded_links_are_judged(tmp_path):
    good = "[a](docs/a.md) [b](docs/a.md#the-tree) [c](#here-and-now) [d](https://x.y/z.md)\n"
    files = {"README.md": f"{good}\n# Here, and now\n", "docs/a.md": "## The tree\n"}
    root = write_tree(tmp_path, files)
    assert list(link_faults(root)) == []
    write_tree(tmp_path, {"docs/b.md": "[a](b/c.md) [b](a.md#trees)\n"})
    assert len(list(link_faults(root))) == 2
