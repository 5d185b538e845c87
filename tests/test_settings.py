"""Settings: devices, dtypes, threads, environment; functions, each with its refusal."""

import platform
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from nearfar import settings
from nearfar.errors import ConfigError


@pytest.fixture
def no_accelerator(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    monkeypatch.setattr(torch.xpu, "is_available", lambda: False)


def test_auto_is_cpu_without_accelerator(no_accelerator):
    assert settings.pick_device("auto") == torch.device("cpu")


def test_auto_prefers_cuda_then_mps_then_xpu(no_accelerator, monkeypatch):
    monkeypatch.setattr(torch.xpu, "is_available", lambda: True)
    assert settings.pick_device().type == "xpu"
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    assert settings.pick_device().type == "mps"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert settings.pick_device().type == "cuda"


def test_device_keeps_its_index(no_accelerator, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert settings.pick_device("cuda:1") == torch.device("cuda", 1)


def test_absent_or_unknown_devices_are_refused(no_accelerator):
    with pytest.raises(ConfigError, match=r"cuda is not available here\. Use --device auto"):
        settings.pick_device("cuda")
    with pytest.raises(ConfigError, match="unknown device 'gpu'"):
        settings.pick_device("gpu")


@pytest.mark.parametrize(
    ("told", "is_fast"),
    [
        ({"cpu_name": "Intel Xeon", "avx512_bf16": True, "amx_bf16": True}, True),
        ({"cpu_name": "Intel Xeon", "avx512_bf16": True, "amx_bf16": False}, False),
        ({"cpu_name": "AMD EPYC 9R14", "avx512_bf16": True, "amx_bf16": False}, True),
        ({"cpu_name": "AMD Ryzen 7 5800X", "avx512_bf16": False, "avx2": True}, False),
        ({"cpu_name": "Intel Core i5-8250U", "avx2": True}, False),
        ({"architecture": "aarch64", "bf16": True, "sve_bf16": True}, False),
        ({}, False),
    ],
)
def test_dtype_auto_on_cpus_follows_what_they_can(monkeypatch, told, is_fast):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: told, raising=False)
    assert settings.has_fast_bf16() is is_fast
    expected = torch.bfloat16 if is_fast else torch.float32
    assert settings.pick_dtype("auto", torch.device("cpu")) is expected
    assert settings.pick_dtype("bf16", torch.device("cpu")) is torch.bfloat16


def test_dtype_auto_is_fp32_where_torch_does_not_tell(monkeypatch):
    monkeypatch.delattr(torch.cpu, "get_capabilities", raising=False)
    assert settings.pick_dtype("auto", torch.device("cpu")) is torch.float32


def test_dtype_auto_follows_the_device(monkeypatch):
    monkeypatch.setattr(settings, "has_fast_bf16", lambda: True)  # of the CPU only
    assert settings.pick_dtype("auto", torch.device("mps")) is torch.float32
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda: True)
    assert settings.pick_dtype("auto", torch.device("cuda")) is torch.bfloat16
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda: False)
    assert settings.pick_dtype("auto", torch.device("cuda")) is torch.float16


def test_dtype_by_name_and_refusals():
    cpu = torch.device("cpu")
    assert settings.pick_dtype("fp32", cpu) is torch.float32
    assert settings.pick_dtype("bf16", cpu) is torch.bfloat16
    assert settings.pick_dtype("fp16", torch.device("cuda")) is torch.float16
    with pytest.raises(ConfigError, match="fp16 is slow and partial on CPU"):
        settings.pick_dtype("fp16", cpu)
    with pytest.raises(ConfigError, match="unknown dtype 'int8'"):
        settings.pick_dtype("int8", cpu)


def test_threads_from_argument_then_environment(monkeypatch):
    set_to: list[int] = []
    monkeypatch.setattr(torch, "set_num_threads", set_to.append)
    monkeypatch.setenv("NEARFAR_THREADS", "3")
    settings.set_threads(2)
    settings.set_threads()
    monkeypatch.delenv("NEARFAR_THREADS")
    assert settings.set_threads() == torch.get_num_threads()
    assert set_to == [2, 3]


def test_threads_that_are_no_number_are_refused_in_one_line(monkeypatch):
    monkeypatch.setenv("NEARFAR_THREADS", "many")
    with pytest.raises(ConfigError, match="'many' is not a whole number"):
        settings.set_threads()


def test_memory_setting_can_be_turned_off(monkeypatch):
    monkeypatch.setenv("NEARFAR_KEEP_MEMORY", "0")
    monkeypatch.setattr(settings.ctypes, "CDLL", lambda name: pytest.fail("libc was touched"))
    assert settings.keep_freed_memory() is False


def test_memory_setting_survives_another_libc(monkeypatch):
    def absent(name: str) -> None:
        raise OSError(name)

    monkeypatch.delenv("NEARFAR_KEEP_MEMORY", raising=False)
    monkeypatch.setattr(settings.ctypes, "CDLL", absent)
    assert settings.keep_freed_memory() is False


def test_memory_setting_takes_effect_with_glibc_only():
    code = "from nearfar.settings import keep_freed_memory; print(keep_freed_memory())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == str(platform.libc_ver()[0] == "glibc"), done.stderr


def test_cache_folder_in_order_of_precedence(monkeypatch):
    monkeypatch.setenv("NEARFAR_CACHE", "~/mine")
    monkeypatch.setenv("XDG_CACHE_HOME", "/x")
    assert settings.cache_folder() == Path.home() / "mine"
    monkeypatch.delenv("NEARFAR_CACHE")
    assert settings.cache_folder() == Path("/x/nearfar")
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert settings.cache_folder() == Path.home() / ".cache" / "nearfar"


def test_largest_photo(monkeypatch):
    monkeypatch.delenv("NEARFAR_MAX_PIXELS", raising=False)
    assert settings.max_pixels() == 120_000_000
    monkeypatch.setenv("NEARFAR_MAX_PIXELS", "1000")
    assert settings.max_pixels() == 1000
    for text in ("many", "0", "-5", ""):
        monkeypatch.setenv("NEARFAR_MAX_PIXELS", text)
        with pytest.raises(ConfigError, match="NEARFAR_MAX_PIXELS"):
            settings.max_pixels()


def test_the_share_of_this_process(monkeypatch, caplog):
    monkeypatch.delenv("RANK", raising=False)
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    assert settings.rank_and_world(None) == (0, 1)
    assert settings.rank_and_world("2/4") == (1, 4)
    with pytest.raises(ConfigError, match="RANK, WORLD_SIZE"):
        settings.rank_and_world("env")
    monkeypatch.setenv("RANK", "2")
    monkeypatch.setenv("WORLD_SIZE", "4")
    assert settings.rank_and_world("env") == (2, 4)
    assert not caplog.records
    with caplog.at_level("WARNING", "nearfar"):
        assert settings.rank_and_world(None) == (0, 1)  # not asked for
    assert "--share env" in caplog.text


@pytest.mark.parametrize(
    ("rank", "world"), [("5", ""), ("-1", "2"), ("x", "2"), ("0", "0"), ("2", "2"), ("", "2")]
)
def test_a_share_that_is_none_is_one_line(monkeypatch, rank, world):
    monkeypatch.setenv("RANK", rank)
    monkeypatch.setenv("WORLD_SIZE", world)
    for share in ("env", f"{rank}/{world}" if rank != "2" else "3/2"):
        with pytest.raises(ConfigError):
            settings.rank_and_world(share)


@pytest.mark.parametrize("text", ["99999", "1025", "9" * 5000, "two", "-1", "\u00b2"])
def test_a_number_of_threads_that_would_kill_torch(monkeypatch, text):
    monkeypatch.setenv("NEARFAR_THREADS", text)
    with pytest.raises(ConfigError, match="NEARFAR_THREADS"):
        settings.set_threads()
    monkeypatch.delenv("NEARFAR_THREADS")
    with pytest.raises(ConfigError, match="threads: 99999 is above 1024"):
        settings.set_threads(99999)


@pytest.mark.parametrize(
    ("cuda_build", "has_gpu", "is_said"),
    [("12.8", False, True), ("12.8", True, False), (None, False, False)],
)
def test_a_cuda_build_without_a_gpu_is_worth_a_hint(cuda_build, has_gpu, is_said):
    hint = settings.cpu_build_hint(cuda_build=cuda_build, has_gpu=has_gpu)
    assert (hint is not None) == is_said
    if hint is not None:
        assert "\n" not in hint and "pip install" in hint and settings.CPU_WHEELS in hint


def test_the_hint_is_given_once(no_accelerator, monkeypatch, tmp_path, caplog):
    monkeypatch.setenv("NEARFAR_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(torch.version, "cuda", "12.8")
    settings.hint_at_cpu_build()
    settings.hint_at_cpu_build()
    assert len(caplog.records) == 1 and "CPU build" in caplog.text
    monkeypatch.setenv("NEARFAR_CACHE", str(tmp_path / "cache/hinted_at_cpu_build/no folder"))
    settings.hint_at_cpu_build()
    assert len(caplog.records) == 1
