"""Importing nearfar does nothing: no file, no torch before it is needed, no state changed."""

import json
import os
import subprocess
import sys
from pathlib import Path

from source_tree import SRC, python_files, write_tree

WITHOUT_TORCH = (
    "errors", "family", "predict_config", "result", "settings", "viz", "io", "cli",
    "weights/families", "weights/registry",
)  # fmt: skip
TRAINING = ("data", "encoders", "geometry", "layers", "models", "sampling", "train", "weights")
NOT_FOR_TRAINING = (
    "OpenEXR",
    "PIL",
    "av",
    "huggingface_hub",
    "rich",
    "tensorboard",
    "trimesh",
    "typer",
)
NUMPY_GEOMETRY = ("alignment", "camera", "clouds", "edges", "meshes", "upsample")

IMPORT_ALL = """
import importlib, json, os, sys
names = json.loads(sys.argv[1])
for name in names:
    importlib.import_module(name)
print(json.dumps(sorted({name.split(".")[0] for name in sys.modules})))
"""

IMPORT_WITH_FEW_PACKAGES = """
import importlib, json, sys
for name in json.loads(sys.argv[2]):
    sys.modules[name] = None
for name in json.loads(sys.argv[1]):
    importlib.import_module(name)
"""

STATE_UNCHANGED = """
import importlib, json, logging, os, sys, warnings
import numpy as np, torch

def state():
    backends = {
        f"{backend.__name__}.{name}": getattr(backend, name)
        for backend in (torch.backends.cudnn, torch.backends.cuda.matmul, torch.backends.mkldnn)
        for name in ("enabled", "benchmark", "deterministic", "allow_tf32")
        if hasattr(backend, "__name__") and hasattr(backend, name)
    }
    return {
        "torch generator": torch.get_rng_state().tolist(),
        "numpy generator": np.random.get_state()[1].tolist(),
        "threads": torch.get_num_threads(),
        "default dtype": str(torch.get_default_dtype()),
        "gradients": torch.is_grad_enabled(),
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "matmul precision": torch.get_float32_matmul_precision(),
        "backends": {key: str(value) for key, value in backends.items()},
        "environment": dict(os.environ),
        "log handlers": len(logging.getLogger().handlers),
        "warning filters": len(warnings.filters),
        "folder": os.getcwd(),
    }

third_party = json.loads(sys.argv[2])
for name in third_party:
    importlib.import_module(name)
before = state()
for name in json.loads(sys.argv[1]):
    importlib.import_module(name)
after = state()
print(json.dumps([key for key in before if before[key] != after[key]]))
"""


def module_name(path: Path, src: Path = SRC) -> str:
    parts = ("nearfar", *path.relative_to(src).with_suffix("").parts)
    return ".".join(part for part in parts if part != "__init__")


def modules(src: Path = SRC) -> list[str]:
    return [module_name(path, src) for path in python_files(src) if path.stem != "__main__"]


def run_in_empty_folder(folder: Path, code: str, *arguments: str, source: Path = SRC.parent) -> str:
    """Standard output of a fresh interpreter whose home, temporary and current folder is empty.

    The folder is read-only where the user is not root; what was made in it fails the test.
    """
    folder.mkdir(exist_ok=True)
    folder.chmod(0o555)
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(source),
        "PYTHONDONTWRITEBYTECODE": "1",
        "OMP_NUM_THREADS": "1",
        "HOME": str(folder),
        "TMPDIR": str(folder),
        "XDG_CACHE_HOME": str(folder / "cache"),
    }
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=240,
    )
    made = sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))
    folder.chmod(0o755)
    assert done.returncode == 0, done.stderr[-2000:]
    assert made == [], f"importing made files: {made}"
    return done.stdout


def loaded_packages(folder: Path, names: list[str]) -> set[str]:
    return set(json.loads(run_in_empty_folder(folder, IMPORT_ALL, json.dumps(names))))


def test_light_rooms_load_without_torch(tmp_path):
    light = ["nearfar", *(f"nearfar.geometry.{name}" for name in NUMPY_GEOMETRY)]
    for room in WITHOUT_TORCH:
        path = SRC / room
        files = python_files(path) if path.is_dir() else [path.with_suffix(".py")]
        light += [module_name(file) for file in files if file.stem != "__main__"]
    packages = loaded_packages(tmp_path / "empty", light)
    assert "nearfar" in packages
    assert not packages & {"torch", "scipy", "matplotlib", "transformers", "accelerate"}


def test_training_rooms_load_with_torch_numpy_safetensors_alone(tmp_path):
    names = [name for name in modules() if name.split(".")[1:2] and name.split(".")[1] in TRAINING]
    arguments = (json.dumps(names), json.dumps(NOT_FOR_TRAINING))
    run_in_empty_folder(tmp_path / "empty", IMPORT_WITH_FEW_PACKAGES, *arguments)


def test_importing_every_module_changes_nothing(tmp_path):
    third_party = [
        "accelerate",
        "safetensors.torch",
        "huggingface_hub",
        "typer",
        "rich",
        "PIL.Image",
    ]
    changed = run_in_empty_folder(
        tmp_path / "empty", STATE_UNCHANGED, json.dumps(modules()), json.dumps(third_party)
    )
    assert json.loads(changed.splitlines()[-1]) == []


def test_seeded_violations_are_found(tmp_path):
    source = write_tree(
        tmp_path / "source",
        {
            "nearfar/__init__.py": "",
            "nearfar/a.py": "import torch\ntorch.manual_seed(3)\ntorch.set_num_threads(2)\n",
            "nearfar/b.py": "import os\nos.environ['A'] = 'b'\n",
            "nearfar/c.py": "open('made.txt', 'w').close()\n",
        },
    )
    names = json.dumps(["nearfar.a", "nearfar.b"])
    changed = run_in_empty_folder(tmp_path / "empty", STATE_UNCHANGED, names, "[]", source=source)
    assert json.loads(changed) == ["torch generator", "threads", "environment"]
    (tmp_path / "writes").mkdir()
    try:
        run_in_empty_folder(tmp_path / "writes", IMPORT_ALL, '["nearfar.c"]', source=source)
    except AssertionError as error:
        assert "made" in str(error)
    else:
        raise AssertionError("a module that writes a file at import was not found")
