"""A family is a folder with seven files of fixed meaning, and has a preset that CPUs can train."""

import ast
from collections.abc import Iterator
from pathlib import Path

from source_tree import SRC, parse, refuse, write_tree

SEVEN = ("config", "presets", "network", "sample", "objective", "predictor", "keys")
LINE_LIMITS = {"config": 60, "sample": 60, "objective": 120, "predictor": 150, "network": 300}
OTHER_FAMILY_LINES: dict[str, int] = {}  # "ppd/network" -> lines where the limit is too tight


def families(src: Path) -> dict[str, str]:
    """FAMILIES of models/__init__.py: name -> module path."""
    for node in parse(src / "models/__init__.py").body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "FAMILIES":
            return ast.literal_eval(node.value)
    return {}


def preset_names(path: Path) -> set[str]:
    """Keys of the PRESETS table of a presets.py."""
    for node in parse(path).body:
        target = node.targets[0] if isinstance(node, ast.Assign) else getattr(node, "target", None)
        if target is not None and ast.unparse(target) == "PRESETS":
            keys = node.value.keys if isinstance(node.value, ast.Dict) else []
            return {ast.literal_eval(key) for key in keys if key is not None}
    return set()


def family_faults(src: Path) -> Iterator[str]:
    listed = families(src)
    for folder in sorted((src / "models").iterdir()):
        if (folder / "__init__.py").exists() and folder.name not in listed:
            yield f"models/{folder.name}: not in FAMILIES of models/__init__.py"
    for name, module in listed.items():
        folder = src / "models" / name
        if module != f"nearfar.models.{name}":
            yield f"FAMILIES[{name!r}] is {module}; expected nearfar.models.{name}"
        for part in SEVEN:
            path = folder / f"{part}.py"
            if not path.exists():
                yield f"models/{name}/{part}.py is missing; a family has {', '.join(SEVEN)}"
                continue
            lines = path.read_text(encoding="utf-8").count("\n")
            limit = OTHER_FAMILY_LINES.get(f"{name}/{part}", LINE_LIMITS.get(part, 400))
            if lines > limit:
                yield f"models/{name}/{part}.py: {lines} lines > {limit} for a {part}"
        if (folder / "presets.py").exists() and "tiny" not in preset_names(folder / "presets.py"):
            yield f"models/{name}/presets.py: PRESETS has no 'tiny'"


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


def test_seeded_violations_are_found(tmp_path):
    good = {f"models/ppd/{part}.py": "" for part in (*SEVEN, "__init__")}
    good["models/__init__.py"] = 'FAMILIES = {"ppd": "nearfar.models.ppd"}\n'
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
        "models/ppd/sample.py": "x = 1\n" * 61,
    }
    del bad["models/ppd/keys.py"]
    src = write_tree(tmp_path / "bad", bad)
    faults = " ".join(family_faults(src))
    for finding in ("models/dar", "'tiny'", "sample.py: 61", "keys.py is missing"):
        assert finding in faults
    assert len(list(config_faults(src))) == 1
