import errno
import os
import subprocess
import sys
import time

import pytest

from nearfar.errors import InputError, OutputError
from nearfar.io.atomic import atomic_path, ensure_folder, held, remove_leftovers, staging


def test_replaces_when_complete(tmp_path):
    target = tmp_path / "a b\n\u00e9.bin"
    target.write_bytes(b"old")
    with atomic_path(target) as temporary:
        assert temporary.parent == tmp_path and target.read_bytes() == b"old"
        temporary.write_bytes(b"new")
        assert target.read_bytes() == b"old"
    assert target.read_bytes() == b"new" and list(tmp_path.iterdir()) == [target]


@pytest.mark.parametrize(
    "error", [KeyboardInterrupt(), InputError("x", "y"), RuntimeError(), SystemExit()]
)
def test_failure_leaves_the_old_file_and_nothing_else(tmp_path, error):
    target = tmp_path / "a.bin"
    target.write_bytes(b"old")

    def write():
        with atomic_path(target) as temporary:
            temporary.write_bytes(b"half")
            raise error

    with pytest.raises(type(error)):
        write()
    assert target.read_bytes() == b"old" and list(tmp_path.iterdir()) == [target]


def test_system_errors_become_output_errors(tmp_path):
    def write():
        with atomic_path(tmp_path / "a.bin") as temporary:
            temporary.write_bytes(b"half")
            raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(OutputError, match=r"a\.bin: cannot be written \(No space left"):
        write()
    assert not list(tmp_path.iterdir())


def test_missing_or_impossible_folder(tmp_path):
    (tmp_path / "file").touch()
    for target in (tmp_path / "none" / "a", tmp_path / "file" / "a", tmp_path / ("x" * 300)):
        with pytest.raises(OutputError), atomic_path(target) as temporary:
            temporary.write_bytes(b"1")
    with pytest.raises(OutputError, match="folder"):
        ensure_folder(tmp_path / "file" / "sub")
    with pytest.raises(OutputError, match="folder"):
        ensure_folder(tmp_path / "file")
    assert ensure_folder(tmp_path / "x" / "y").is_dir() and ensure_folder(tmp_path).is_dir()


def killed_while_it_writes(folder):
    """Run a process that dies with a temporary file and a staging folder."""
    code = f"""
import os, signal
from pathlib import Path
from nearfar.io.atomic import atomic_path, staging
folder = Path({str(folder)!r})
with staging(folder, "photo") as stage, atomic_path(folder / "depth.exr") as temporary:
    for path in (temporary, stage / "depth.png"):
        path.write_bytes(b"half")
    os.kill(os.getpid(), signal.SIGKILL)
"""
    done = subprocess.run([sys.executable, "-c", code])
    assert done.returncode == -9


def test_what_killed_processes_left_is_removed_by_owner_and_age(tmp_path):
    killed_while_it_writes(tmp_path)
    left = sorted(tmp_path.iterdir())
    assert sorted(path.is_dir() for path in left) == [False, True]
    day = time.time() - 90_000
    for name, age in {
        "depth.exr": day,
        ".nearfar-notes": day,
        "other.tmp": day,
        f".nearfar-elsewhere-{os.getpid()}-0.tmp": None,  # another machine's
        ".nearfar-elsewhere-1-1.tmp": day,
    }.items():
        (tmp_path / name).write_bytes(b"x")
        if age is not None:
            os.utime(tmp_path / name, (age, age))
    kept = ["depth.exr", ".nearfar-notes", "other.tmp", f".nearfar-elsewhere-{os.getpid()}-0.tmp"]
    with atomic_path(tmp_path / "own") as temporary, staging(tmp_path, "photo") as stage:
        assert stage is not None and list(stage.iterdir()) == []  # the dead one holds nothing
        temporary.write_bytes(b"whole")
        remove_leftovers(tmp_path)  # those of a process that lives stay
        assert {p.name for p in tmp_path.iterdir()} == {*kept, temporary.name, stage.name}
    assert {p.name for p in tmp_path.iterdir()} == {*kept, "own"}
    remove_leftovers(tmp_path / "missing")


def test_one_process_at_a_time_has_a_name(tmp_path):
    code = f"""
from pathlib import Path
from nearfar.io.atomic import staging
for name in ("photo", "other"):
    with staging(Path({str(tmp_path)!r}), name) as stage:
        print(stage is not None)
"""
    with staging(tmp_path, "photo") as stage:
        assert stage is not None
        with staging(tmp_path, "photo") as second:
            assert second is None
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.split() == ["False", "True"], done.stderr
    assert list(tmp_path.iterdir()) == []
    with held(tmp_path / "missing") as is_ours:
        assert not is_ours


def test_the_system_runs_out_of_room(tmp_path):
    """A file size limit of the process, met in the middle of a real result."""
    code = f"""
import resource, signal, numpy as np
from nearfar.errors import OutputError
from nearfar.result import DepthResult
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
depth = np.random.default_rng(0).uniform(1, 5, (64, 64)).astype(np.float32)
result = DepthResult(depth=depth, kind="metric", valid=depth > 0)
for name in ("png16", "npz", "exr", "pfm", "vis"):
    try:
        result.save({str(tmp_path)!r}, [name])
        print(name, "written")
    except OutputError as error:
        print(name, "refused")
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert [line.split()[1] for line in done.stdout.splitlines()] == ["refused"] * 5, done
    assert not list(tmp_path.iterdir())
