"""Reading and writing files of weights: nothing damaged, executable or empty comes in.

safetensors headers are checked against the file's length before anything is mapped; pickles are
only read as plain tensors (weights_only) and refused, unexecuted, when they ask for more. The plain
containers that training scripts put beside (`args`, paths, numpy numbers) become inert stand-ins.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import pickle
import pickletools
import warnings
import zipfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor
from torch.serialization import safe_globals

from nearfar.errors import OutputError, WeightsError

AGAIN = "Download or copy it again"
_LENGTH_BYTES = 8  # a safetensors file begins with the length of its JSON header
_LARGEST_HEADER = 100_000_000
_ZIP, _PICKLE = b"PK\x03\x04", b"\x80"
_LEGACY_PICKLES = 5  # magic number, protocol, system, content, storage names; then raw data
_STOOD_IN = (  # what training scripts store beside tensors; none of it is built
    "argparse.Namespace",
    "types.SimpleNamespace",
    *(f"pathlib.{m}{k}" for m in ("", "_local.") for k in ("PosixPath", "WindowsPath", "Path")),
    *(f"numpy.{m}.multiarray.{f}" for m in ("core", "_core") for f in ("scalar", "_reconstruct")),
    "numpy.dtype",
    "numpy.ndarray",
)
_HARMLESS = ("torch.", "collections.OrderedDict", "_codecs.encode", *_STOOD_IN)
_SHOWN = 3  # names in a message


class WeightsFile(NamedTuple):
    """Tensors on the CPU by name, and the text metadata of the file."""

    tensors: dict[str, Tensor]
    metadata: dict[str, str]


class _StandIn:
    """Takes whatever a pickle gives it, and keeps and does nothing."""

    def __new__(cls, *_: object) -> _StandIn:
        return object.__new__(cls)

    def __init__(self, *_: object) -> None:
        pass

    def __setstate__(self, state: object) -> None:
        pass


def sha256_of(path: Path) -> str:
    """The sha256 of a file, as 64 hexadecimal digits."""
    try:
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise WeightsError(path, f"cannot be read ({error.strerror})") from error


def require_sha256(path: Path, expected: str | None) -> str:
    """The sha256 of the file; WeightsError if another one is expected (None = anything goes)."""
    found = sha256_of(path)
    if expected is not None and found != expected:
        raise WeightsError(
            path, f"sha256 is {found[:12]}..., expected {expected[:12]}...", f"Changed? {AGAIN}"
        )
    return found


def is_pickle(path: Path) -> bool:
    """Whether the content (not the name) is a torch pickle; WeightsError if unreadable, empty."""
    start = _first_bytes(path)
    length = int.from_bytes(start[:_LENGTH_BYTES], "little")
    if start[_LENGTH_BYTES:] == b"{" and length <= _LARGEST_HEADER:
        return False
    return start.startswith((_ZIP, _PICKLE))


def read_metadata(path: Path) -> dict[str, str]:
    """The text metadata of a safetensors file; its header is checked, tensors are not read."""
    return _checked_header(path)[0]


def read_safetensors(path: Path) -> WeightsFile:
    """Tensors (mapped, not copied) and metadata; WeightsError says in one line what is wrong."""
    metadata, names = _checked_header(path)
    try:
        with safe_open(path, framework="pt", device="cpu") as stream:
            tensors = {name: stream.get_tensor(name) for name in names}
    except (SafetensorError, OSError, RuntimeError, ValueError) as error:
        raise WeightsError(path, f"damaged safetensors ({_first_line(error)})", AGAIN) from error
    return WeightsFile(tensors, metadata)


def read_pickle(path: Path) -> Mapping[str, Any]:
    """The mapping inside a torch file, read without running any code; WeightsError otherwise."""
    _require_stored(path)
    is_misnamed = path.suffix == ".safetensors"  # torch goes by the name where it has one
    mapped = _first_bytes(path).startswith(_ZIP) and not is_misnamed  # the older form cannot be
    try:
        stood_in = safe_globals([(_StandIn, name) for name in _STOOD_IN])
        with warnings.catch_warnings(), stood_in, path.open("rb") as stream:
            warnings.simplefilter("ignore")
            source = stream if is_misnamed else path
            loaded = torch.load(source, map_location="cpu", weights_only=True, mmap=mapped)
    except pickle.UnpicklingError as error:
        wanted = _code_in(path)
        if wanted:
            raise WeightsError(
                path,
                f"refused: this pickle asks for code ({some(wanted)}); nothing was run",
                "Use safetensors, or save the plain state_dict from a program you trust",
            ) from error
        raise WeightsError(path, "damaged pickle", AGAIN) from error
    except Exception as error:  # damaged pickles fail anywhere
        raise WeightsError(path, f"damaged file ({_first_line(error)})", AGAIN) from error
    if not isinstance(loaded, Mapping):
        raise WeightsError(path, f"holds a {type(loaded).__name__}, not named tensors")
    _require_plain(loaded, path)
    return loaded


def write_safetensors(
    path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str]
) -> Path:
    """Write the file under a temporary name, then move it into place; returns the path."""
    temporary = path.with_name(f".{path.name}.tmp{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        whole = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
        temporary.touch()
        mode = temporary.stat().st_mode  # as any new file; the writer would keep others from it
        save_file(whole, temporary, metadata=dict(metadata))
        temporary.chmod(mode)
        os.replace(temporary, path)
    except (OSError, SafetensorError) as error:
        raise OutputError(path, f"not written ({_first_line(error)})", "Free disk space") from error
    finally:
        with suppress(OSError):  # moved into place, or its folder could not be made
            temporary.unlink()
    return path


def require_sound(tensors: Mapping[str, Tensor], where: object) -> None:
    """Pass if all values are finite and not most matrices are zero; WeightsError names, counts.

    Single zero matrices are normal (parts that start as the identity); half of them are not.
    """
    broken, zero, matrices = [], [], 0
    for name, tensor in tensors.items():
        if not tensor.is_floating_point() or tensor.numel() == 0:
            continue
        total = tensor.sum(dtype=torch.float32)  # NaN and infinity survive a sum
        if not torch.isfinite(total) and not torch.isfinite(tensor).all():
            broken.append(name)
        if tensor.ndim >= 2:
            matrices += 1
            if total == 0 and not tensor.any():
                zero.append(name)
    if broken:
        raise WeightsError(
            where, f"{len(broken)} of {len(tensors)} tensors hold NaN or infinity ({some(broken)})"
        )
    if not tensors or (matrices and 2 * len(zero) >= matrices):
        raise WeightsError(
            where, f"{len(zero)} of {matrices} weight matrices are all zero ({some(zero)})", AGAIN
        )


def some(names: list[str]) -> str:
    """The first few names, and that there are more."""
    return ", ".join(names[:_SHOWN]) + (", ..." if len(names) > _SHOWN else "")


def _checked_header(path: Path) -> tuple[dict[str, str], list[str]]:
    """Metadata and tensor names of a safetensors file whose length is what its header says."""
    if is_pickle(path):
        raise WeightsError(
            path, "a torch pickle, not safetensors", "Run nearfar models convert on it first"
        )
    size = path.stat().st_size
    with path.open("rb") as stream:
        length = int.from_bytes(stream.read(_LENGTH_BYTES), "little")
        if size < _LENGTH_BYTES or not 2 <= length <= _LARGEST_HEADER:
            raise WeightsError(path, "not a safetensors file", "Give .safetensors, .pth or .pt")
        if length > size - _LENGTH_BYTES:
            first = stream.read(1)
            finding = "truncated inside its header" if first == b"{" else "not a safetensors file"
            raise WeightsError(path, finding, AGAIN)
        text = stream.read(length)
    try:
        header = json.loads(text)
        metadata = {str(k): str(v) for k, v in (header.pop("__metadata__", None) or {}).items()}
        ends = [int(value["data_offsets"][1]) for value in header.values()]
    except Exception as error:  # JSON of a file can hold anything, nested to any depth
        finding = "damaged header" if text[:1] == b"{" else "not a safetensors file"
        raise WeightsError(path, finding, AGAIN) from error
    expected = _LENGTH_BYTES + length + max(ends, default=0)
    if size != expected:
        word = "truncated" if size < expected else "damaged"
        raise WeightsError(path, f"{word}: {size} bytes, its header says {expected}", AGAIN)
    return metadata, list(header)


def _require_stored(path: Path) -> None:
    """Pass if a zip holds no more than its own bytes; torch writes without compression."""
    if not _first_bytes(path).startswith(_ZIP):
        return
    try:
        with zipfile.ZipFile(path) as archive:
            size = sum(info.file_size for info in archive.infolist())
    except Exception as error:  # zipfile raises nearly anything on damaged bytes
        raise WeightsError(path, f"damaged file ({_first_line(error)})", AGAIN) from error
    if size > path.stat().st_size:
        raise WeightsError(
            path,
            f"unpacks to {size / 1e6:.0f} MB, more than the {path.stat().st_size / 1e6:.0f} MB "
            "of the file; torch writes no such files",
            AGAIN,
        )


def _require_plain(content: Any, path: Path) -> None:
    """Pass if all tensors are dense and their values really in the file."""
    size, waiting = path.stat().st_size, [content]
    while waiting:
        value = waiting.pop()
        if isinstance(value, Mapping):
            waiting += value.values()
        elif isinstance(value, (list, tuple)):
            waiting += value
        elif isinstance(value, Tensor):
            if value.layout != torch.strided or value.is_quantized or value.is_meta:
                raise WeightsError(path, "holds tensors that are sparse, quantized or empty shells")
            if value.numel() * value.element_size() > size:
                raise WeightsError(
                    path, f"a tensor claims the shape {list(value.shape)}, larger than the file"
                )


def _first_bytes(path: Path) -> bytes:
    try:
        with path.open("rb") as stream:
            start = stream.read(_LENGTH_BYTES + 1)
    except OSError as error:
        reason = "no such file" if isinstance(error, FileNotFoundError) else error.strerror
        raise WeightsError(path, f"cannot be read ({reason})") from error
    if not start:
        raise WeightsError(path, "the file is empty", AGAIN)
    return start


def _code_in(path: Path) -> list[str]:
    """Names of functions and classes a pickle asks for beyond tensors, read without running it."""
    found, strings = [], [""]
    try:
        stream = io.BytesIO(_pickled_bytes(path))
        for _ in range(_LEGACY_PICKLES):
            for operation, argument, _ in pickletools.genops(stream):
                if operation.name == "GLOBAL":
                    found.append(str(argument).replace(" ", "."))
                elif operation.name == "STACK_GLOBAL":
                    found.append(".".join(strings[-2:]))
                elif isinstance(argument, str):
                    strings.append(argument)
    except (OSError, ValueError, zipfile.BadZipFile):
        pass  # the rest is tensor data, or damage; what was found before it counts
    return [name for name in dict.fromkeys(found) if not name.startswith(_HARMLESS)]


def _pickled_bytes(path: Path) -> bytes:
    """The pickle in a torch file: the whole file in the older form, one member of the zip."""
    if not zipfile.is_zipfile(path):
        return path.read_bytes()
    with zipfile.ZipFile(path) as archive:
        inner = [name for name in archive.namelist() if name.endswith("data.pkl")]
        return archive.read(inner[0]) if inner else b""


def _first_line(error: BaseException) -> str:
    """The first line of a foreign message, shortened."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[0][:160].rstrip(". ")
