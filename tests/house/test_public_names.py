"""The names people import: few a room, sorted, real, documented in docs/api.md."""

import re
import subprocess
import sys
from importlib import import_module

import pytest
from source_tree import ROOT, SRC, parse, python_files

ROOMS = ("nearfar", "nearfar.data", "nearfar.geometry", "nearfar.io", "nearfar.viz")
MOST = 10


@pytest.mark.parametrize("room", ROOMS)
def test_names_are_few_sorted_real_and_all_that_dir_shows(room):
    module = import_module(room)
    assert module.__all__ == sorted(module.__all__) == dir(module)
    assert len(module.__all__) <= MOST
    assert all(getattr(module, name) is not None for name in module.__all__)
    with pytest.raises(AttributeError, match=f"module '{room}' has no attribute 'no_such_name'"):
        module.no_such_name  # noqa: B018


def test_these_are_the_rooms_with_public_names():
    with_names = set()
    for path in python_files(SRC):
        if path.name == "__init__.py" and "__all__" in path.read_text(encoding="utf-8"):
            with_names.add(".".join(["nearfar", *path.parent.relative_to(SRC).parts]))
            assert parse(path).body
    assert with_names == set(ROOMS)


def test_the_page_documents_exactly_these_names():
    page = (ROOT / "docs/api.md").read_text(encoding="utf-8")
    for room in ROOMS:
        section = re.search(rf"^## `{re.escape(room)}`\n(.*?)(?=^## |\Z)", page, re.M | re.S)
        assert section, f"docs/api.md has no section ## `{room}`"
        shown = re.findall(r"^\| `(\w+)", section[1], re.MULTILINE)
        assert shown == import_module(room).__all__, f"docs/api.md, {room}"


def test_rooms_load_nothing_before_a_name_is_used():
    code = (
        f"import sys, {', '.join(ROOMS)};"
        "print(sorted({'av', 'numpy', 'PIL', 'torch'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout.strip()) == (0, "[]"), done.stderr
