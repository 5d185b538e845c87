"""README is one page, and what it tells people to type runs; all of it: scripts/check_readme.py."""

import importlib.util
import re
import sys

import pytest
from source_tree import ROOT

README = (ROOT / "README.md").read_text(encoding="utf-8")
LARGEST = 8000  # bytes: one page
IN_TESTS = ("predict out/photos", "models list", "data render", "data check")  # seconds each


@pytest.fixture(scope="module")
def check_readme():
    path = ROOT / "scripts" / "check_readme.py"
    spec = importlib.util.spec_from_file_location("check_readme", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_readme_is_one_page():
    assert len(README.encode()) <= LARGEST


def test_the_short_commands_run_in_order_in_one_folder(check_readme, tmp_path):
    check_readme.prepare(tmp_path)
    ran = []
    for command in check_readme.commands(README):
        words = check_readme.shown(command)
        is_short = words == "the python block" or any(part in words for part in IN_TESTS)
        if is_short and "-m runs/" not in words:  # those need the training before
            check_readme.run(command, tmp_path)
            ran.append(words)
    assert len(ran) >= 7
    assert (tmp_path / "depth" / "coffee.ply").is_file()
    assert (tmp_path / "median" / "coffee_depth.npz").is_file()
    assert (tmp_path / "saved" / "depth.glb").is_file()


def test_trainings_in_readme_take_few_steps():
    steps = re.findall(r"^nearfar train .*train\.steps=(\d+)", README, re.MULTILINE)
    assert steps and all(int(count) <= 20 for count in steps)
    assert README.count("\nnearfar train ") == len(steps)


def test_commands_are_read_from_fences_in_order(check_readme):
    text = (
        "```bash\nnearfar predict a.jpg -o out   # why\n\npip list\n```\n"
        "    nearfar not fenced\n```python\nx = 1\n```\n"
    )
    found = check_readme.commands(text)
    assert found[0][1:] == ["-m", "nearfar.cli", "predict", "a.jpg", "-o", "out"]
    assert found[1:] == [["pip", "list"], [sys.executable, "-c", "x = 1\n"]]
    assert check_readme.shown(found[0]) == "nearfar predict a.jpg -o out"
    assert check_readme.shown(found[2]) == "the python block"


def test_a_command_that_fails_ends_the_check(check_readme, tmp_path):
    with pytest.raises(SystemExit, match="exit code 2: nearfar predict none.jpg"):
        check_readme.run(
            [sys.executable, "-m", "nearfar.cli", "predict", "none.jpg", "-o", "x", "--steps", "0"],
            tmp_path,
        )
