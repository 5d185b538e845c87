"""docs/results.md is what scripts/make_results.py makes of the stored results."""

import importlib.util
import subprocess
import sys

import pytest
from source_tree import ROOT

SCRIPT = ROOT / "scripts" / "make_results.py"


@pytest.fixture(scope="module")
def make_results():
    spec = importlib.util.spec_from_file_location("make_results", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_document_is_current(make_results):
    text = (ROOT / "docs" / "results.md").read_text(encoding="utf-8")
    assert text == make_results.document(make_results.STORED), "run: python scripts/make_results.py"


def test_runs_are_stored_and_a_stale_document_is_found(tmp_path):
    sys.path.insert(0, str(ROOT / "tests" / "eval"))
    try:
        from mini_run import make_run
    finally:
        sys.path.pop(0)
    run = make_run(tmp_path / "run", model="row-ramp")
    places = ["--stored", str(tmp_path / "stored"), "--document", str(tmp_path / "results.md")]
    command = [sys.executable, str(SCRIPT), *places]
    assert subprocess.run([*command, "--add", str(run)], check=False).returncode == 0
    assert "row-ramp" in (tmp_path / "results.md").read_text(encoding="utf-8")
    assert subprocess.run([*command, "--check"], check=False).returncode == 0
    far = make_run(tmp_path / "far", tool={"command": "nearfar eval run -o /elsewhere/run"})
    refused = subprocess.run([*command, "--add", str(far)], check=False, capture_output=True)
    assert refused.returncode == 1 and b"a path of this machine" in refused.stderr
    (tmp_path / "results.md").write_text("old")
    assert subprocess.run([*command, "--check"], check=False, stderr=-1).returncode == 1
