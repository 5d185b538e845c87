"""Randomness and process-wide state: a generator for every draw, settings.py for all the rest."""

import ast
from collections.abc import Iterator
from pathlib import Path

from source_tree import SRC, calls, functions, imports, parse, python_files, refuse, write_tree

DRAWS = {
    "bernoulli", "multinomial", "normal", "poisson", "rand", "rand_like", "randint",
    "randint_like", "randn", "randn_like", "randperm",
}  # fmt: skip
DRAWS_IN_PLACE = {
    "bernoulli_", "cauchy_", "exponential_", "geometric_", "log_normal_", "normal_", "random_",
    "uniform_",
}  # fmt: skip
INITIALISERS = {
    "kaiming_normal_", "kaiming_uniform_", "normal_", "orthogonal_", "sparse_", "trunc_normal_",
    "uniform_", "xavier_normal_", "xavier_uniform_",
}  # fmt: skip
NUMPY_MAKERS = {"default_rng", "Generator", "SeedSequence", "PCG64", "Philox"}
PROCESS_WIDE = {
    "torch.manual_seed", "torch.seed", "torch.set_rng_state", "torch.random.manual_seed",
    "torch.random.set_rng_state", "torch.cuda.manual_seed", "torch.cuda.manual_seed_all",
    "torch.set_default_dtype", "torch.set_default_device", "torch.set_num_threads",
    "torch.set_num_interop_threads", "torch.use_deterministic_algorithms",
    "torch.set_float32_matmul_precision", "torch.set_grad_enabled", "os.getenv", "os.putenv",
    "os.unsetenv", "np.random.seed", "random.seed",
}  # fmt: skip


def draw_faults(src: Path) -> Iterator[str]:
    """Random draws from a hidden, global source."""
    for path in python_files(src):
        place = path.relative_to(src)
        for call, dotted in calls(path):
            owner, _, name = dotted.rpartition(".")
            given = any(keyword.arg in ("generator", None) for keyword in call.keywords)
            torch_draw = owner == "torch" and name in DRAWS
            in_place = owner and name in DRAWS_IN_PLACE and "rng" not in owner
            initial = owner.split(".")[-1] == "init" and name in INITIALISERS
            if (torch_draw or in_place or initial) and not given:
                yield f"{place}:{call.lineno}: {dotted} without generator="
            if owner in ("np.random", "numpy.random") and name not in NUMPY_MAKERS:
                yield f"{place}:{call.lineno}: {dotted} is global; take an np.random.Generator"
            if name == "default_rng" and not (call.args or call.keywords):
                yield f"{place}:{call.lineno}: default_rng() without a seed cannot be repeated"
            if owner == "random" and not dotted.startswith("random.Random"):
                yield f"{place}:{call.lineno}: {dotted} is global; take a generator"
        for line, target, _, _ in imports(path, src):
            module, _, name = target.rpartition(".")
            if (module == "torch" and name in DRAWS) or module == "random":
                yield f"{place}:{line}: {target}: call it by its module, with a generator"


def default_generator_faults(src: Path) -> Iterator[str]:
    """Functions whose generator may be forgotten."""
    for path in python_files(src):
        for function in functions(path):
            a = function.args
            positional = [*a.posonlyargs, *a.args]
            optional = positional[len(positional) - len(a.defaults) :]
            optional += [p for p, value in zip(a.kwonlyargs, a.kw_defaults) if value is not None]
            if any(p.arg in ("generator", "generators", "rng") for p in optional):
                place = f"{path.relative_to(src)}:{function.lineno}"
                yield f"{place}: {function.name}: the generator is required, without a default"


def process_faults(src: Path) -> Iterator[str]:
    """Environment, seeds, threads and backend flags touched outside settings.py."""
    for path in python_files(src):
        place = path.relative_to(src)
        if place.as_posix() == "settings.py":
            continue
        for line, target, _, _ in imports(path, src):
            if target in ("os.environ", "os.getenv"):
                yield f"{place}:{line}: {target} only in settings.py"
        for call, dotted in calls(path):
            if dotted in PROCESS_WIDE:
                yield f"{place}:{call.lineno}: {dotted} only in settings.py"
        for node in ast.walk(parse(path)):
            if isinstance(node, ast.Attribute) and ast.unparse(node) == "os.environ":
                yield f"{place}:{node.lineno}: os.environ only in settings.py"
            for target in node.targets if isinstance(node, ast.Assign) else []:
                if ast.unparse(target).startswith("torch.backends."):
                    yield f"{place}:{node.lineno}: backend flags only in settings.py"


RULES = (draw_faults, default_generator_faults, process_faults)


def all_faults(src: Path) -> list[str]:
    return [fault for rule in RULES for fault in rule(src)]


def test_every_draw_has_a_generator_and_only_settings_touches_the_process():
    refuse(all_faults(SRC))


def test_seeded_violations_are_found(tmp_path):
    good = (
        "def f(x, *, generator):\n"
        "    y = torch.randn(3, generator=generator)\n"
        "    nn.init.normal_(x, generator=generator)\n"
        "    z = np.random.default_rng(7).normal()\n"
        "    return torch.normalize(x), torch.randn(3, **options)\n"
    )
    clean = {"settings.py": "import os\nx = os.environ\ntorch.manual_seed(0)\n", "io/ok.py": good}
    assert all_faults(write_tree(tmp_path / "clean", clean)) == []
    bad = {
        "a.py": "x = torch.randn(3)\n",
        "b.py": "x.uniform_(0, 1)\n",
        "c.py": "nn.init.trunc_normal_(w, std=0.02)\n",
        "d.py": "np.random.shuffle(x)\n",
        "e.py": "r = np.random.default_rng()\n",
        "f.py": "def f():\n    import random\n    return random.random()\n",
        "g.py": "from torch import rand\n",
        "h.py": "def f(x, *, generator=None): ...\n",
        "i.py": "def f(generator=None): ...\n",
        "j.py": "torch.manual_seed(1)\n",
        "k.py": "key = os.environ.get('A')\n",
        "m.py": "from os import environ\n",
        "l.py": "torch.backends.cudnn.benchmark = True\n",
    }
    faults = all_faults(write_tree(tmp_path / "bad", bad))
    assert {fault.split(":")[0] for fault in faults} == set(bad)
