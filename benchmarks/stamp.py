"""Where and how a benchmark ran: what every JSON in results/ carries beside its numbers."""

from __future__ import annotations

import datetime
import json
import os
import platform
import subprocess
import sys
from pathlib import Path

import torch

RESULTS = Path(__file__).parent / "results"


def circumstances() -> dict[str, object]:
    """Date, commit, command, machine, load and versions."""
    return {
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "commit": commit(),
        "command": " ".join(["python", *(short_path(word) for word in sys.argv)]),
        "machine": machine(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "load_average": [round(value, 1) for value in os.getloadavg()],
        "python": platform.python_version(),
        "torch": torch.__version__,
    }


def short_path(word: str) -> str:
    """A word of the command line; of a path out of here only the name, since machines differ."""
    return f".../{Path(word).name}" if word.startswith(("/", "..")) else word


def commit() -> str:
    """Short commit of the repository, with + if files differ from it."""
    git = ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty=+"]
    answer = subprocess.run(git, capture_output=True, text=True, check=False)
    return answer.stdout.strip() or "unknown"


def machine() -> str:
    """Processor name and the instruction sets that decide bfloat16 speed."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return platform.processor() or platform.machine()
    lines = dict(line.split(":", 1) for line in text.splitlines() if ":" in line)
    fields = {key.strip(): value.strip() for key, value in lines.items()}
    flags = set(fields.get("flags", "").split()) & {"amx_bf16", "avx512_bf16", "avx2"}
    return f"{fields.get('model name', platform.machine())} ({', '.join(sorted(flags))})"


def store(name: str, numbers: dict[str, object], *, path: Path | None) -> None:
    """Print circumstances and numbers as one JSON line; write them whole to `path` if given.

    Where both name a field, the number counts: a benchmark may know better what it ran with.
    """
    record = {"benchmark": name, **circumstances(), **numbers}
    print(json.dumps(record))
    if path is not None:
        write_json(record, path)


def write_json(record: dict[str, object], path: Path) -> None:
    """The whole file, or the old one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".tmp")
    partial.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    os.replace(partial, path)
