import errno
import subprocess
import sys

import pytest

from nearfar.errors import InputError, OutputError
from nearfar.io.atomic import atomic_path, ensure_folder, remove_leftovers


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


def test_only_temporary_files_are_left_over(tmp_path):
    for name in (".nearfar-0123456789ab.tmp", "depth.exr", ".nearfar-notes", "other.tmp"):
        (tmp_path / name).write_bytes(b"x")
    remove_leftovers(tmp_path)
    remove_leftovers(tmp_path / "missing")
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        ".nearfar-notes",
        "depth.exr",
        "other.tmp",
    ]


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
