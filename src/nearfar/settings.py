"""The only reader of environment variables, and the only place that touches process-wide state.

Device, dtype, threads, allocator, seeds: functions, called by cli, serve, train and pipeline, never
at import. Torch is imported inside the functions, so that `nearfar --help` stays fast.
"""

from __future__ import annotations

import ctypes
import logging
import os
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from nearfar.errors import ConfigError

if TYPE_CHECKING:
    import torch

DEVICES = ("auto", "cpu", "cuda", "mps", "xpu")
DTYPES = ("auto", "fp32", "bf16", "fp16")

MOST_THREADS = 1024  # torch dies without a word at a hundred thousand
CPU_WHEELS = "https://download.pytorch.org/whl/cpu"
_LOG = logging.getLogger(__name__)

# glibc mallopt parameter numbers (malloc.h)
_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_MAX = -1, -2, -4


def pick_device(name: str = "auto") -> torch.device:
    """The torch device for a name; `auto` takes cuda, then mps, then xpu, then cpu."""
    import torch

    kind = name.split(":")[0]
    if kind not in DEVICES:
        raise ConfigError("device", f"unknown device {name!r}", f"Use one of {', '.join(DEVICES)}")
    present = {
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
        "xpu": hasattr(torch, "xpu") and torch.xpu.is_available(),
        "cpu": True,
    }
    if kind == "auto":
        return torch.device(next(k for k, there in present.items() if there))
    if not present[kind]:
        raise ConfigError("device", f"{name} is not available here", "Use --device auto")
    return torch.device(name)


def pick_dtype(name: str, device: torch.device) -> torch.dtype:
    """The compute dtype for a name.

    `auto`: bf16 on CPUs that are fast at it (`has_fast_bf16`), on CUDA with bf16 (fp16 without) and
    on XPU; else fp32.
    """
    import torch

    table = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
    if name not in DTYPES:
        raise ConfigError("dtype", f"unknown dtype {name!r}", f"Use one of {', '.join(DTYPES)}")
    if name != "auto":
        if name == "fp16" and device.type == "cpu":
            raise ConfigError("dtype", "fp16 is slow and partial on CPU", "Use bf16 or fp32")
        return table[name]
    if device.type == "cuda" and not torch.cuda.is_bf16_supported():
        return torch.float16
    is_slow = device.type == "mps" or (device.type == "cpu" and not has_fast_bf16())
    return torch.float32 if is_slow else torch.bfloat16


@contextmanager
def own_precision(device: str = "cpu") -> Iterator[None]:
    """What is computed inside does not depend on the caller's autocast, default dtype or device.

    device: the type of device it is computed on. The caller's state comes back at the end.
    """
    import torch

    dtype, place = torch.get_default_dtype(), torch.get_default_device()
    with ExitStack() as stack:
        for kind in {"cpu", device}:
            stack.enter_context(torch.autocast(kind, enabled=False))
        if place.type != "cpu":
            stack.enter_context(torch.device("cpu"))
        if dtype is not torch.float32:
            stack.callback(torch.set_default_dtype, dtype)
            torch.set_default_dtype(torch.float32)
        yield


def has_fast_bf16() -> bool:
    """Whether this CPU multiplies bfloat16 faster than float32: by what it is, never by timing.

    Yes with AMX tiles, and for AMD with AVX512-BF16 (2.2 times float32 on an EPYC). No for Intel
    with AVX512-BF16 alone (0.6 times on a Xeon), nor where nothing multiplies bfloat16 (AVX2:
    slower still). No on ARM: its flag does not tell whether this build of torch has kernels that
    use it, and we had no such machine. No where torch does not tell (before 2.13).
    """
    import torch

    try:
        told = torch.cpu.get_capabilities()
    except AttributeError:
        return False
    is_amd = "AMD" in str(told.get("cpu_name", ""))
    return bool(told.get("amx_bf16")) or (is_amd and bool(told.get("avx512_bf16")))


def cpu_build_hint(*, cuda_build: str | None, has_gpu: bool) -> str | None:
    """One line for a machine without a GPU whose torch was built for one, else None.

    cuda_build: `torch.version.cuda`, None for a CPU build.
    """
    if cuda_build is None or has_gpu:
        return None
    return (
        f"torch is built for CUDA {cuda_build}, but there is no GPU here; the CPU build does the "
        f"same in gigabytes less: pip install --force-reinstall torch --index-url {CPU_WHEELS}"
    )


def hint_at_cpu_build() -> None:
    """Log `cpu_build_hint` once for each user: a mark in the cache folder remembers it."""
    import torch

    hint = cpu_build_hint(cuda_build=torch.version.cuda, has_gpu=torch.cuda.is_available())
    mark = cache_folder() / "hinted_at_cpu_build"
    if hint is None or mark.exists():
        return
    try:
        mark.parent.mkdir(parents=True, exist_ok=True)
        mark.touch()
    except OSError:
        return  # what cannot be remembered would be said every time
    _LOG.warning(hint)


def set_threads(count: int | None = None) -> int:
    """Set torch's intra-op threads (None: NEARFAR_THREADS or torch's own); returns the number."""
    import torch

    text = os.environ.get("NEARFAR_THREADS", "0")
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        raise ConfigError("NEARFAR_THREADS", f"{text!r} is not a whole number")
    wanted = count if count is not None else int(text)
    if wanted > MOST_THREADS:
        raise ConfigError(
            "NEARFAR_THREADS" if count is None else "threads", f"{wanted} is above {MOST_THREADS}"
        )
    if wanted > 0:
        torch.set_num_threads(wanted)
    return torch.get_num_threads()


def keep_freed_memory() -> bool:
    """Tell glibc to keep freed memory instead of unmapping it; True if it took effect.

    Tensors over 32 MB are otherwise mapped and unmapped on every operation (2x on rendering,
    1.2-1.3x on large models). Cost: memory is not given back before the process ends. Off with
    NEARFAR_KEEP_MEMORY=0. Called by our own command line jobs, never by importing nearfar.
    """
    if not sys.platform.startswith("linux") or os.environ.get("NEARFAR_KEEP_MEMORY") == "0":
        return False
    try:
        libc = ctypes.CDLL("libc.so.6")
        return bool(
            libc.mallopt(_M_MMAP_MAX, 0)
            and libc.mallopt(_M_TRIM_THRESHOLD, 2**31 - 1)
            and libc.mallopt(_M_TOP_PAD, 256 << 20)
        )
    except (OSError, AttributeError):
        return False


def cache_folder() -> Path:
    """Where rendered scenes and converted weights are kept: NEARFAR_CACHE or ~/.cache/nearfar."""
    base = os.environ.get("NEARFAR_CACHE") or os.environ.get("XDG_CACHE_HOME")
    if os.environ.get("NEARFAR_CACHE"):
        return Path(str(base)).expanduser()
    return (Path(base) if base else Path.home() / ".cache") / "nearfar"


def max_pixels() -> int:
    """Largest input photo in pixels (NEARFAR_MAX_PIXELS, default 120 million)."""
    text = os.environ.get("NEARFAR_MAX_PIXELS", "120000000")
    if not text.isdigit() or int(text) < 1:
        raise ConfigError("NEARFAR_MAX_PIXELS", f"{text!r} is not a positive whole number")
    return int(text)


def rank_and_world(share: str | None) -> tuple[int, int]:
    """Which share of the work this process does, of how many: (0, 1) for all of it.

    share: 'I/N', the I-th of N from 1; 'env', what torchrun or accelerate say in RANK and
    WORLD_SIZE; None, all, whatever another program left in the environment. ConfigError for what is
    neither, or outside 1..N.
    """
    if share is None:
        if os.environ.get("WORLD_SIZE", "1") != "1":
            _LOG.warning("WORLD_SIZE is set, but this does all the work: --share env divides it")
        return 0, 1
    if share == "env":
        where, first = "RANK, WORLD_SIZE", 0
        texts = os.environ.get("RANK", ""), os.environ.get("WORLD_SIZE", "")
    else:
        where, first = "--share", 1
        texts = share.partition("/")[0], share.partition("/")[2]
    if not all(text.isascii() and text.isdigit() for text in texts):
        found = f"{' and '.join(repr(t) for t in texts)} are no numbers"
        raise ConfigError(where, found, "Give I/N, such as --share 1/4")
    rank, world = int(texts[0]) - first, int(texts[1])
    if not 0 <= rank < world:
        finding = f"there is no share {texts[0]} of {texts[1]}"
        raise ConfigError(where, finding, "Give I/N, such as --share 1/4")
    return rank, world
