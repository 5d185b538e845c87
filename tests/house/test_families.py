"""A family is a folder with eight files of fixed meaning, and has a preset that CPUs can train."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from source_tree import SRC, parse, refuse, write_tree

from nearfar.models import FAMILIES as DEPTH_FAMILIES
from nearfar.weights.families import FAMILIES, NETWORKS

PARTS = (
    "family", "config", "presets", "network", "sample", "objective", "predictor", "keys",
)  # fmt: skip


def preset_names(path: Path) -> set[str]:
    """Keys of the PRESETS table of a presets.py."""
    for node in parse(path).body:
        target = node.targets[0] if isinstance(node, ast.Assign) else getattr(node, "target", None)
        if target is not None and ast.unparse(target) == "PRESETS":
            keys = node.value.keys if isinstance(node.value, ast.Dict) else []
            return {ast.literal_eval(key) for key in keys if key is not None}
    return set()


def family_faults(src: Path) -> Iterator[str]:
    for folder in sorted(path.parent for path in (src / "models").glob("*/__init__.py")):
        for part in PARTS:
            if not (folder / f"{part}.py").exists():
                place = f"models/{folder.name}/{part}.py"
                yield f"{place} is missing; a family has {', '.join(PARTS)}"
        if (folder / "presets.py").exists() and "tiny" not in preset_names(folder / "presets.py"):
            yield f"models/{folder.name}/presets.py: PRESETS has no 'tiny'"


def config_faults(src: Path) -> Iterator[str]:
    """Configs that can change after they were checked."""
    wanted = {"frozen=True", "kw_only=True", "slots=True"}
    for path in sorted(src.rglob("*.py")):
        for node in parse(path).body:
            if isinstance(node, ast.ClassDef) and node.name.endswith("Config"):
                given = {
                    ast.unparse(k) for d in node.decorator_list for k in getattr(d, "keywords", [])
                }
                if not wanted <= given:
                    place = f"{path.relative_to(src)}:{node.lineno}"
                    yield f"{place}: {node.name} needs @dataclass({', '.join(sorted(wanted))})"


def test_families_are_complete():
    refuse(family_faults(SRC))


def test_configs_are_frozen():
    refuse(config_faults(SRC))


def test_every_folder_is_a_family_and_comes_in_the_order_of_its_position():
    folders = {p.parent.name for p in (SRC / "models").glob("*/__init__.py")}
    assert set(DEPTH_FAMILIES) == folders
    assert folders < {family.name for family in FAMILIES}
    positions = [family.position for family in FAMILIES]
    assert positions == sorted(set(positions))
    names = [kind.name for family in FAMILIES for kind in family.networks]
    assert sorted(names) == sorted(NETWORKS)


@pytest.mark.parametrize("name", NETWORKS)
def test_a_description_names_what_is_there(name):
    config, network, presets = NETWORKS[name].parts()
    assert presets and all(type(preset) is config for preset in presets.values())
    assert issubclass(network, torch.nn.Module)


def test_seeded_violations_are_found(tmp_path):
    good = {f"models/ppd/{part}.py": "" for part in (*PARTS, "__init__")}
    good["models/ppd/presets.py"] = 'PRESETS: dict = {"large": L, "tiny": T}\n'
    good["models/ppd/config.py"] = (
        "@dataclass(frozen=True, kw_only=True, slots=True)\nclass PPDConfig: ...\n"
    )
    assert list(family_faults(write_tree(tmp_path / "good", good))) == []
    assert list(config_faults(tmp_path / "good")) == []
    bad = good | {
        "models/dar/__init__.py": "",
        "models/ppd/presets.py": 'PRESETS = {"large": L}\n',
        "models/ppd/config.py": "@dataclass(frozen=True)\nclass PPDConfig: ...\n",
    }
    del bad["models/ppd/keys.py"]
    src = write_tree(tmp_path / "bad", bad)
    faults = " ".join(family_faults(src))
    for finding in ("models/dar/family.py", "'tiny'", "keys.py is missing"):
        assert finding in faults
    assert len(list(config_faults(src))) == 1
