"""Who may import whom: the table of the house (docs/map.md shows the rooms), and third parties."""

import sys
from collections.abc import Iterator
from pathlib import Path

from source_tree import SRC, imports, python_files, refuse, room_of, write_tree

MAY_IMPORT = {  # room -> rooms it may import besides itself
    "errors": "",
    "batch": "",
    "former_name": "",
    "predict_config": "errors",
    "extras": "errors",
    "family": "errors",
    "result": "errors",
    "settings": "errors",
    "layers": "errors",
    "sampling": "errors",
    "geometry": "errors",
    "viz": "errors result",
    "io": "errors extras former_name result geometry typed web",
    "tokenizers": "batch errors family layers",
    "encoders": "batch errors family layers geometry",
    "models": "batch errors family predict_config result layers sampling geometry tokenizers"
    " encoders",
    "data": "batch errors extras former_name geometry io",
    "weights": "errors family former_name settings typed web layers models tokenizers encoders",
    "pipeline": "errors predict_config settings result geometry io models weights",
    "eval": "errors extras former_name settings result geometry io viz data tokenizers pipeline",
    "train": "batch errors extras family settings typed sampling layers geometry io data models"
    " tokenizers encoders weights eval",
    "export": "errors settings result models weights pipeline",
    "prune": "errors layers models data weights pipeline eval",
    "structure": "errors result geometry io viz pipeline",
    "search": "errors result geometry pipeline structure",
    "serve": "errors settings result geometry io viz pipeline",
    "cli": "*",
    "public": "",
    "typed": "errors",
    "web": "",
}
INSIDE_FUNCTIONS = {"result": "geometry io viz"}  # docs/decisions/001-result-methods.md
EVERYWHERE = {"numpy", "torch"}
ONLY_IN = {  # third-party package -> rooms that may import it; any other package is refused
    "PIL": "io",
    "pillow_heif": "io",
    "av": "io",
    "OpenEXR": "io",
    "trimesh": "io",
    "h5py": "data",
    "scipy": "data eval",  # .mat files; distance transforms
    "skimage": "eval",  # the Canny of the iBims-1 protocol
    "webdataset": "data",
    "huggingface_hub": "weights",
    "safetensors": "weights prune",
    "accelerate": "train",
    "onnx": "export",
    "onnxruntime": "export",
    "fastapi": "serve",
    "uvicorn": "serve",
    "gradio": "serve",
    "pydantic": "serve",
    "typer": "cli",
    "rich": "cli",
}
NO_TORCH_AT_IMPORT = {
    *("errors", "extras", "family", "former_name", "io", "predict_config", "result", "settings"),
    *("cli", "typed", "viz", "web"),
}
NUMPY_ONLY = {
    f"geometry/{name}.py"
    for name in (
        "alignment",
        "camera",
        "canny",
        "clouds",
        "edges",
        "fits",
        "l1_search",
        "masked_resize",
        "meshes",
        "robust_fits",
        "upsample",
    )
}


def room_faults(src: Path) -> Iterator[str]:
    """Imports of a room that the table does not allow; `nearfar/__init__` may name all, lazily."""
    for path in python_files(src):
        place, room = path.relative_to(src), room_of(path, src)
        if room == "__init__":
            continue
        if room not in MAY_IMPORT:
            yield f"{place}: no room {room} in the table; add a row that says what it may import"
            continue
        for line, target, level, when in imports(path, src):
            parts = target.split(".")
            if parts[0] != "nearfar" or len(parts) < 2 or parts[1] not in MAY_IMPORT:
                continue
            allowed = {room, "public", *MAY_IMPORT[room].split()}  # __all__ of any room
            if when != "import":
                allowed |= set(INSIDE_FUNCTIONS.get(room, "").split())
            if not {"*", parts[1]} & allowed:
                yield (
                    f"{place}:{line}: {room} may not import {parts[1]}; "
                    "move the shared part down or pass it in"
                )
            if level and parts[1] != room:
                yield f"{place}:{line}: relative import leaves the room; write nearfar.{parts[1]}"


def family_faults(src: Path) -> Iterator[str]:
    """Imports from one depth family into another."""
    for path in python_files(src):
        place = path.relative_to(src)
        if place.parts[0] != "models" or len(place.parts) < 3:
            continue
        for line, target, _, _ in imports(path, src):
            parts = target.split(".")
            if parts[:2] == ["nearfar", "models"] and parts[2:3] not in (
                [place.parts[1]],
                ["base"],
            ):
                yield (
                    f"{place}:{line}: families are independent; "
                    "lift the shared block into layers or sampling"
                )


def third_party_faults(src: Path) -> Iterator[str]:
    """Packages used outside their room, or not known to the house at all."""
    for path in python_files(src):
        place, room = path.relative_to(src), room_of(path, src)
        for line, target, _, _ in imports(path, src):
            head = target.split(".")[0]
            if head == "nearfar" or head in sys.stdlib_module_names or head in EVERYWHERE:
                continue
            if head not in ONLY_IN:
                yield f"{place}:{line}: {head} is no dependency of ours; do it with numpy or torch"
            elif room not in ONLY_IN[head].split():
                yield f"{place}:{line}: {head} is only for {ONLY_IN[head]}; call that room instead"


def torch_faults(src: Path) -> Iterator[str]:
    """Torch where a file must load or work without it."""
    for path in python_files(src):
        place, room = path.relative_to(src), room_of(path, src)
        for line, target, _, when in imports(path, src):
            if target.split(".")[0] != "torch" or when == "typing":
                continue
            if room in NO_TORCH_AT_IMPORT | {"__init__"} and when == "import":
                yield f"{place}:{line}: torch at import time; import it inside the function"
            if place.as_posix() in NUMPY_ONLY:
                yield f"{place}:{line}: this file is numpy only; put the torch part in its own file"


RULES = (room_faults, family_faults, third_party_faults, torch_faults)


def all_faults(src: Path) -> list[str]:
    return [fault for rule in RULES for fault in rule(src)]


def test_source_follows_the_import_table():
    refuse(all_faults(SRC))


def test_table_has_no_cycle():
    done: list[str] = []

    def visit(room: str, above: tuple[str, ...]) -> None:
        assert room not in above, f"cycle: {' -> '.join([*above, room])}"
        for below in MAY_IMPORT[room].replace("*", "").split():
            visit(below, (*above, room))
        done.append(room)

    for room in MAY_IMPORT:
        visit(room, ())
    assert set(done) == set(MAY_IMPORT)


def test_networks_cannot_reach_files_or_environment():
    reached, queue = set(), ["models"]
    while queue:
        below = set(MAY_IMPORT[queue.pop()].split()) - reached
        reached |= below
        queue += below
    assert not reached & {"io", "viz", "cli", "data", "train", "weights", "settings"}


def clean_tree(root: Path) -> Path:
    """A mock house in which every room imports all it may."""
    files = {"__init__.py": "", "models/base.py": "", "models/dar/__init__.py": ""}
    for room, below in MAY_IMPORT.items():
        below = " ".join(set(MAY_IMPORT) - {"cli"}) if below == "*" else below
        text = "".join(f"from nearfar.{name} import x\n" for name in below.split())
        single = room in ("batch", "errors", "family", "predict_config", "result", "settings")
        single = single or room in ("typed", "web")
        files[f"{room}.py" if single else f"{room}/__init__.py"] = text
    files["result.py"] += "def save():\n    from nearfar.io.writers import x\n"
    files["models/ppd/sample.py"] = (
        "from typing import TYPE_CHECKING\n"
        "from nearfar.models.base import y\nfrom ..base import y\nfrom .network import z\n"
        "from nearfar.sampling.euler import euler_step\nimport torch, numpy, math\n"
    )
    files["io/images.py"] = "from PIL import Image\ndef f():\n    import torch\n    return torch\n"
    files["viz/panel.py"] = (
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from torch import Tensor\n"
    )
    return write_tree(root, files)


def test_clean_mock_tree_has_no_faults(tmp_path):
    assert all_faults(clean_tree(tmp_path)) == []


def test_every_seeded_violation_is_found(tmp_path):
    seeded = {
        "models/ppd/a.py": (
            "from nearfar.io.images import read_image\n",
            "models may not import io",
        ),
        "models/ppd/b.py": ("from ..dar.bins import bins\n", "families are independent"),
        "models/dar/c.py": ("def f():\n    import nearfar.weights.hub\n", "may not import weights"),
        "models/dar/d.py": ("from ...sampling.euler import x\n", "leaves the room"),
        "layers/e.py": ("from nearfar import geometry\n", "layers may not import geometry"),
        "layers/f.py": (
            "from importlib import import_module\n"
            "def f():\n    return import_module('nearfar.settings')\n",
            "layers may not import settings",
        ),
        "data/g.py": ("import av\n", "av is only for io"),
        "data/h.py": ("try:\n    import PIL.Image\nexcept ImportError:\n    pass\n", "PIL is only"),
        "geometry/i.py": ("def f():\n    import sympy\n", "sympy is no dependency"),
        "geometry/clouds.py": ("def f():\n    import torch\n", "numpy only"),
        "cli/j.py": ("if True:\n    import torch\n", "torch at import time"),
        "viz/k.py": ("class A:\n    from torch import Tensor\n", "torch at import time"),
        "result.py": ("from nearfar.viz import x\n", "result may not import viz"),
        "cellar/l.py": ("", "no room cellar"),
    }
    src = clean_tree(tmp_path)
    write_tree(src, {name: text for name, (text, _) in seeded.items()})
    faults = all_faults(src)
    for name, (_, finding) in seeded.items():
        assert any(f.startswith(name) and finding in f for f in faults), (name, faults)
    assert {fault.split(":")[0] for fault in faults} == set(seeded)
