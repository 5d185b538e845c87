"""What a number was measured with: versions, commit, machine, and memory of this process."""

from __future__ import annotations

import hashlib
import os
import platform
import subprocess
import sys
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import nearfar

if TYPE_CHECKING:
    import torch

_PACKAGES = ("numpy", "torch", "scipy", "scikit-image", "h5py", "pillow")


def tool_facts() -> dict[str, Any]:
    """Version of nearfar, git commit and whether files differ from it, versions of packages."""
    commit = _git("rev-parse", "HEAD")
    packages = {}
    for name in _PACKAGES:
        try:
            packages[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            packages[name] = ""
    return {
        "version": nearfar.__version__,
        "git_commit": commit,
        "dirty": bool(_git("status", "--porcelain", "--untracked-files=no")) if commit else None,
        "python": platform.python_version(),
        "packages": packages,
    }


def machine_facts(*, device: str = "cpu", dtype: str = "") -> dict[str, Any]:
    """Processor, cores, threads, device and its driver's versions."""
    import torch

    facts: dict[str, Any] = {
        "system": platform.system(),
        "processor": _processor(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "device": device,
        "dtype": dtype,
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "cuda": torch.version.cuda or "",
        "cudnn": "",
        "device_name": "",
    }
    if device.startswith("cuda") and torch.cuda.is_available():
        facts["cudnn"] = str(torch.backends.cudnn.version())  # type: ignore[no-untyped-call]
        facts["device_name"] = torch.cuda.get_device_name()
    return facts


def network_facts(networks: Mapping[str, torch.nn.Module]) -> dict[str, dict[str, Any]]:
    """Class, SHA-256 of config and of tensors, size and dtype of each network of a model.

    The tensors are those in use: names, shapes and values after any cast to the dtype, so that the
    encoder counts too, whatever file it came from.
    """
    out = {}
    for part, network in networks.items():
        state = network.state_dict()
        dtypes = {
            str(t.dtype).removeprefix("torch.") for t in state.values() if t.is_floating_point()
        }
        out[part] = {
            "class": type(network).__name__,
            "config_sha256": hashlib.sha256(
                repr(getattr(network, "config", "")).encode()
            ).hexdigest(),
            "tensors_sha256": _tensors_hash(state),
            "parameters": sum(p.numel() for p in network.parameters()),
            "dtype": ", ".join(sorted(dtypes)),
        }
    return out


def _tensors_hash(state: Mapping[str, torch.Tensor]) -> str:
    import torch

    digest = hashlib.sha256()
    for name, tensor in sorted(state.items()):
        plain = tensor.detach().cpu().contiguous()
        digest.update(f"{name} {list(plain.shape)} {plain.dtype}\n".encode())
        digest.update(plain.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def peak_rss_mb() -> float | None:
    """The most memory this process has held so far, in MiB; None where the system is silent."""
    try:
        import resource
    except ImportError:
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return round(peak / (1 << 20 if sys.platform == "darwin" else 1 << 10), 1)


def _git(*arguments: str) -> str:
    """Output of git on the source tree, '' if it is no checkout."""
    folder = Path(__file__).parent
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), *arguments],
            capture_output=True,
            text=True,
            check=False,
            timeout=20,
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def _processor() -> str:
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in text.splitlines() if "model name" in line]
    return names[0] if names else platform.machine()
