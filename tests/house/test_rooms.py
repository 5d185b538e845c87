"""Order inside the rooms: maps instead of imports, sorted public names, no prints, no globals."""

import ast
from collections.abc import Iterator
from pathlib import Path

from source_tree import SRC, FunctionNode, calls, parse, python_files, refuse, write_tree

CODE_IN_INIT = {"__init__.py", "cli/__init__.py", "models/__init__.py"}  # public names, tables
CODE_IN_INIT |= {f"{room}/__init__.py" for room in ("data", "geometry", "io", "viz")}
NO_SUBJECT = {"utils", "util", "helpers", "helper", "common", "misc", "tools", "v2"}
NO_HASATTR = {"encoders", "layers", "models", "sampling", "tokenizers"}


def map_faults(src: Path) -> Iterator[str]:
    """Room files `__init__.py` that are not a docstring naming every file of the room."""
    for path in python_files(src):
        place = path.relative_to(src).as_posix()
        if path.name != "__init__.py" or place == "__init__.py":
            continue
        tree = parse(path)
        docstring = ast.get_docstring(tree) or ""
        if len(tree.body) > 1 and place not in CODE_IN_INIT:
            yield f"{place}: only a docstring map belongs here; code and imports have a file"
        inside = [
            p for p in path.parent.iterdir() if p.suffix == ".py" and not p.stem.startswith("__")
        ]
        inside += [p.parent for p in path.parent.glob("*/__init__.py")]
        for entry in sorted(inside):
            shown = f"{entry.name}/" if entry.is_dir() else entry.name
            if shown not in docstring.replace(",", " ").split():
                yield f"{place}: the docstring does not name {shown}"
        for line in docstring.splitlines():
            word = line.strip().split(" ")[0]
            if word.endswith((".py", "/")) and not (path.parent / word).exists():
                yield f"{place}: the docstring names {word}, which is not there"
    folders = {path.parent for path in python_files(src)}
    for folder in sorted(folders):
        if not (folder / "__init__.py").exists():
            yield f"{folder.relative_to(src)}: a room needs __init__.py with its map"


def name_faults(src: Path) -> Iterator[str]:
    """Files whose name has no subject, modules without a docstring, unsorted `__all__`."""
    for path in python_files(src):
        place = path.relative_to(src).as_posix()
        if {path.stem, path.parent.name} & NO_SUBJECT:
            yield f"{place}: a file without a better name has no subject"
        if not ast.get_docstring(parse(path)):
            yield f"{place}: no module docstring; say what is in it"
        for node in parse(path).body:
            if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
                names = ast.literal_eval(node.value)
                if list(names) != sorted(names) or not all(isinstance(n, str) for n in names):
                    yield f"{place}:{node.lineno}: __all__ is not a sorted list of names"


def habit_faults(src: Path) -> Iterator[str]:
    """Prints, written globals, swallowed errors, hidden modes."""
    for path in python_files(src):
        place, room = path.relative_to(src).as_posix(), path.relative_to(src).parts[0]
        for call, dotted in calls(path):
            if dotted == "print" and room != "cli":
                yield f"{place}:{call.lineno}: print in the library; use logging or return it"
            if dotted == "hasattr" and room in NO_HASATTR:
                yield f"{place}:{call.lineno}: an absent part is None in the config, not hasattr"
        for node in ast.walk(parse(path)):
            if isinstance(node, ast.Global):
                yield f"{place}:{node.lineno}: a module global is written at run time; pass it"
            if isinstance(node, ast.ExceptHandler) and node.type is None:
                yield f"{place}:{node.lineno}: bare except"
            if isinstance(node, ast.Raise) and "NotImplementedError" in ast.unparse(node):
                yield f"{place}:{node.lineno}: unfinished; only code that works is committed"
            if isinstance(node, FunctionNode) and node.name in NO_SUBJECT:
                yield f"{place}:{node.lineno}: {node.name} is no name"


RULES = (map_faults, name_faults, habit_faults)


def all_faults(src: Path) -> list[str]:
    return [fault for rule in RULES for fault in rule(src)]


def test_rooms_are_in_order():
    refuse(all_faults(SRC))


def test_seeded_violations_are_found(tmp_path):
    room = '"""The room.\n\nb.py   the only file\n"""\n'
    good = {"__init__.py": '"""Public."""\n', "a/__init__.py": room, "a/b.py": '"""B."""\n'}
    assert all_faults(write_tree(tmp_path / "good", good)) == []
    seeded = {
        "c/__init__.py": ('"""Empty map."""\n', "does not name d.py"),
        "c/d.py": ('"""D."""\n__all__ = ["b", "a"]\n', "sorted"),
        "e/__init__.py": ('"""E.\n\ngone.py   gone\n"""\nimport x\n', "only a docstring"),
        "e/utils.py": ('"""U."""\n', "no subject"),
        "a/__init__.py": (room.replace("b.py", "gone.py"), "names gone.py"),
        "a/b.py": ("x = 1\n", "no module docstring"),
        "h/f.py": ('"""F."""\nprint(1)\n', "print"),
        "h/g.py": ('"""G."""\ndef f():\n    global x\n', "global"),
        "h/h.py": ('"""H."""\ntry:\n    x = 1\nexcept:\n    pass\n', "bare except"),
        "h/i.py": ('"""I."""\ndef f():\n    raise NotImplementedError\n', "unfinished"),
        "layers/j.py": ('"""J."""\nx = hasattr(a, "b")\n', "hasattr"),
    }
    src = write_tree(tmp_path / "bad", good | {name: text for name, (text, _) in seeded.items()})
    faults = all_faults(src)
    for name, (_, finding) in seeded.items():
        assert any(f.startswith(name) and finding in f for f in faults), (name, faults)
    assert any("a room needs" in fault for fault in faults)
