"""Write constraints.txt: exact pins of all that nearfar and its extras need, from this environment.

    python scripts/make_constraints.py          # prints what changed and writes the file

Install the wanted versions into an environment first, run the tests there, then run this in it.
Packages that a platform may lack (a CUDA build's nvidia-*, pillow-heif) and those that the tests do
without (rerun-sdk) stay free.
"""

import tomllib
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parent.parent
HEADER = """# Exact versions this commit was tested with (Python 3.11); used by make and .ci/run.
# Written by scripts/make_constraints.py. A library user needs none of it: pip install nearfar.
"""


def wanted() -> dict[str, str]:
    """Name -> version of everything reachable from pyproject's dependencies and extras."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    lists = [project["dependencies"], *project["optional-dependencies"].values()]
    queue = [(Requirement(text), "") for names in lists for text in names]
    done: set[tuple[str, str]] = set()
    versions: dict[str, str] = {}
    while queue:
        requirement, parent_extra = queue.pop()
        if requirement.marker and not requirement.marker.evaluate({"extra": parent_extra}):
            continue
        name = canonicalize_name(requirement.name)
        try:
            found = distribution(name)
        except PackageNotFoundError:
            continue
        versions[name] = found.version.partition("+")[0]
        for extra in {"", *requirement.extras}:
            if (name, extra) not in done:
                done.add((name, extra))
                queue += [(Requirement(text), extra) for text in found.requires or ()]
    return versions


def main() -> None:
    target = ROOT / "constraints.txt"
    before = set(target.read_text().splitlines()) if target.exists() else set()
    pins = [f"{name}=={version}" for name, version in sorted(wanted().items())]
    target.write_text(HEADER + "\n".join(pins) + "\n")
    print(*sorted(set(pins) - before) or ["nothing changed"], sep="\n")


if __name__ == "__main__":
    main()
