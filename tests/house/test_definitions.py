"""What docstrings of eval cite can be opened: an arXiv id, or a heading of a document."""

import re
from collections.abc import Iterator
from pathlib import Path

from source_tree import ROOT, SRC, python_files, refuse, write_tree

ELSEWHERE = re.compile(r"\b[Ss]pec\b|(?<!/)\b[a-z_]+\.md\b")  # notes that are not in the repository
HEADING = re.compile(r'(docs/[a-z]+\.md), "([^"]+)"((?:[^"]{0,30} and "[^"]+")*)')


def citation_faults(room: Path, root: Path) -> Iterator[str]:
    """Citations of files or headings that a reader of the repository cannot find."""
    for path in python_files(room):
        text = path.read_text(encoding="utf-8")
        for number, line in enumerate(text.splitlines(), 1):
            if ELSEWHERE.search(line):
                yield f"{path.name}:{number}: cite arXiv, or docs/FILE.md with a heading: {line}"
        for match in HEADING.finditer(re.sub(r"\s+", " ", text)):
            document, more = root / match[1], re.findall(r'"([^"]+)"', match[3])
            headings = document.read_text(encoding="utf-8") if document.exists() else ""
            for title in (match[2], *more):
                if not re.search(rf"^#+ {re.escape(title)}$", headings, re.MULTILINE):
                    yield f"{path.name}: {match[1]} has no heading {title!r}"


def test_citations_of_eval_resolve():
    refuse(citation_faults(SRC / "eval", ROOT))
    text = "".join(p.read_text(encoding="utf-8") for p in python_files(SRC / "eval"))
    assert len(HEADING.findall(re.sub(r"\s+", " ", text))) >= 12


def test_seeded_violations_are_found(tmp_path):
    root = write_tree(
        tmp_path,
        {
            "docs/evaluation.md": "# Evaluation\n\n### Clips\n\n### Edges\n",
            "src/a.py": '"""See docs/evaluation.md, "Clips" (as always) and "Edges"."""\n',
            "src/b.py": '"""Spec evaluation.md section 4."""\n',
            "src/c.py": '"""See docs/evaluation.md,\n"Clip"."""\n',
            "src/d.py": '"""See docs/evaluation.md, "Clips" and "Ends"; docs/gone.md, "X"."""\n',
        },
    )
    faults = list(citation_faults(root / "src", root))
    assert [fault.partition(":")[0] for fault in faults] == ["b.py", "c.py", "d.py", "d.py"]
