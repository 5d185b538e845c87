"""The repository as a whole: pins, sizes, paths, licence, and CI that is what people run."""

import os
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from source_tree import ROOT, refuse, write_tree

LARGEST_KB = {"src/nearfar/weights/embedded": 25_000, "tests/golden": 2500, "": 600}
UNTRACKED = {".git", ".venv", "__pycache__", "out", "runs", "build", "dist"}


def repository_files(root: Path) -> Iterator[Path]:
    """Files that a clone holds: without environments, caches and outputs."""
    for folder, inner, names in os.walk(root):
        inner[:] = sorted(n for n in inner if n not in UNTRACKED and not n.endswith("_cache"))
        inner[:] = [name for name in inner if not name.endswith(".egg-info")]
        yield from (Path(folder, name) for name in sorted(names) if not name.endswith(".tmp"))


def machine_path_faults(root: Path) -> Iterator[str]:
    """Paths of one machine in files that must work in any clone."""
    private = ("/" + "work/", "../" + "shared", "/" + "tmp/")
    files = [root / name for name in ("README.md", "CONTRIBUTING.md", "Makefile", "pyproject.toml")]
    for folder in ("src", "scripts", "benchmarks", "recipes", "docs", ".ci"):
        files += [p for p in sorted((root / folder).rglob("*")) if p.is_file()]
    for path in files:
        if path.suffix not in {".py", ".md", ".toml", ".json", ".txt", ""} or not path.exists():
            continue
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
            if any(words in line for words in private):
                yield f"{path.relative_to(root)}:{number}: a path of one machine: {line.strip()}"


def size_faults(root: Path) -> Iterator[str]:
    """Files too large for a repository."""
    for path in repository_files(root):
        place = path.relative_to(root).as_posix()
        limit = next(kb for prefix, kb in LARGEST_KB.items() if place.startswith(prefix))
        if path.stat().st_size > limit * 1000:
            yield f"{place}: {path.stat().st_size // 1000} kB > {limit} kB"


def former_name_faults(root: Path, word: re.Pattern[str]) -> Iterator[str]:
    """The name before 0.2 anywhere but where files and people are told of it."""
    told = {"CHANGELOG.md", "dev/log.md", "src/nearfar/former_name.py"}
    for path in repository_files(root):
        place = path.relative_to(root).as_posix()
        if place in told or place.startswith("tests/golden/former/"):
            continue
        if path.suffix in {".py", ".md", ".toml", ".json", ".txt", ""}:
            for number, line in enumerate(path.read_text("utf-8").splitlines(), start=1):
                if word.search(line):
                    yield f"{place}:{number}: the former name; see former_name.py: {line.strip()}"


def pin_faults(pyproject: str, constraints: str) -> Iterator[str]:
    """Dependencies without an exact pin, or with one outside their bounds."""
    lines = [line for line in constraints.splitlines() if line and not line.startswith("#")]
    pins = dict(line.split("==") for line in lines if re.fullmatch(r"[\w.-]+==[\w.]+", line))
    yield from (f"constraints.txt: {line} is no exact pin" for line in lines if "==" not in line)
    project = tomllib.loads(pyproject)["project"]
    named = project["optional-dependencies"].items()
    extras = {k: v for k, v in named if k not in ("heif", "rerun")}
    for text in [*project["dependencies"], *(t for names in extras.values() for t in names)]:
        requirement = Requirement(text)
        pin = pins.get(canonicalize_name(requirement.name))
        if pin is None or pin not in requirement.specifier:
            yield f"constraints.txt: {text} is pinned to {pin}"


def test_no_paths_of_one_machine():
    refuse(machine_path_faults(ROOT))


def test_no_large_files():
    refuse(size_faults(ROOT))


def test_the_former_name_is_told_in_few_places():
    from nearfar.former_name import FORMER_NAME

    refuse(former_name_faults(ROOT, re.compile(rf"\b{FORMER_NAME}\b", re.IGNORECASE)))


def test_every_dependency_is_pinned():
    constraints = (ROOT / "constraints.txt").read_text()
    refuse(pin_faults((ROOT / "pyproject.toml").read_text(), constraints))
    assert "torch==2.13.0" in constraints.splitlines()


def test_ci_runs_what_people_run():
    ci, make = (ROOT / ".ci/run").read_text(), (ROOT / "Makefile").read_text()
    assert "make --no-print-directory test" in ci
    assert re.search(r"^test:.*\n\t.*scripts/check$", make, re.MULTILINE)
    assert "-c constraints.txt" in make
    check = (ROOT / "scripts/check").read_text()
    steps = [check.rindex(step) for step in ("ruff format --check", "ruff check", "mypy", "pytest")]
    assert steps == sorted(steps)
    for script in (".ci/run", "scripts/check"):
        assert os.access(ROOT / script, os.X_OK), f"{script} is not executable"


def test_licence_is_apache():
    text = (ROOT / "LICENSE").read_text()
    assert "Apache License" in text
    assert "Version 2.0, January 2004" in text


def test_the_wheel_carries_licence_and_notice():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["license"] == "Apache-2.0"
    assert project["license-files"] == ["LICENSE", "NOTICE"]
    assert all((ROOT / name).is_file() for name in project["license-files"])


def test_seeded_violations_are_found(tmp_path):
    write_tree(tmp_path, {"README.md": "see /" + "work/x\n", "docs/a.md": "../" + "shared\n"})
    assert len(list(machine_path_faults(tmp_path))) == 2
    write_tree(tmp_path, {"docs/b.md": "An Old tool\n", "CHANGELOG.md": "was old\n"})
    assert len(list(former_name_faults(tmp_path, re.compile(r"\bold\b", re.IGNORECASE)))) == 1
    write_tree(tmp_path, {"src/big.json": "x" * 700_000, "out/big.json": "x" * 700_000})
    assert [fault.split(":")[0] for fault in size_faults(tmp_path)] == ["src/big.json"]
    pyproject = (
        '[project]\ndependencies = ["a>=2", "b>=1", "c"]\n[project.optional-dependencies]\nx=["d"]'
    )
    assert list(pin_faults(pyproject, "# pins\na==2.1\nb==1.0\nc==0.1\nd==3\n")) == []
    assert len(list(pin_faults(pyproject, "a==1.9\nb>=1\nc==0.1\n"))) == 4
