"""A family is a unit: delete its folder and the rest works; load one and no other is touched."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from source_tree import SRC

from nearfar.models import FAMILIES

REMAINING = {name: "dar-tiny" if name == "ppd" else "ppd-tiny" for name in FAMILIES}
# what another family may be asked when models are listed: its description, without torch
LIGHT = {f"nearfar.models.{name}{end}" for name in FAMILIES for end in ("", ".family")}

PREDICT = """
import sys
import numpy as np
import nearfar
from nearfar.train import targets
from nearfar.weights.registry import ENTRIES

name, folder = sys.argv[1:]
assert nearfar.__file__.startswith(folder), nearfar.__file__
photo = np.random.default_rng(0).integers(0, 255, (32, 48, 3), dtype=np.uint8)
result = nearfar.load(name).predict(photo)
assert result.depth.shape == (32, 48) and np.isfinite(result.depth[result.valid]).all()
print(" ".join(ENTRIES), *targets.TARGETS)
"""

LOAD = """
import json, sys
import nearfar
nearfar.load(sys.argv[1])
print(json.dumps(sorted(sys.modules)))
"""


def run(program: str, *arguments: str, source: Path = SRC.parent) -> str:
    environment = os.environ | {"PYTHONPATH": str(source), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments],
        env=environment,
        capture_output=True,
        text=True,
        timeout=200,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


@pytest.mark.parametrize("family", FAMILIES)
def test_without_a_family_the_rest_works(family, tmp_path):
    copy = tmp_path / "nearfar"
    shutil.copytree(SRC, copy, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.rmtree(copy / "models" / family)
    listed = run(PREDICT, REMAINING[family], str(copy), source=tmp_path).split()
    gone = {"ppd": "ppvd-tiny", "dar": "dar", "depthart": "var-d16", "var_depth": "switti-512"}
    assert gone[family] not in listed and "tiny-encoder" in listed
    assert {name for other, name in gone.items() if other != family} <= set(listed)


@pytest.mark.parametrize(
    ("name", "family"),
    [
        ("ppd-tiny", "ppd"),
        ("dar-tiny", "dar"),
        ("depthart-tiny", "depthart"),
        ("var-depth-tiny", "var_depth"),
    ],
)
def test_loading_a_family_imports_no_other(name, family):
    loaded = set(json.loads(run(LOAD, name)))
    own = f"nearfar.models.{family}"
    assert f"{own}.network" in loaded
    rooms = {f"nearfar.models.{other}" for other in FAMILIES if other != family}
    foreign = {module for module in loaded if ".".join(module.split(".")[:3]) in rooms}
    assert foreign <= LIGHT, f"{name} imports {sorted(foreign - LIGHT)}"
