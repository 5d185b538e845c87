import sys

import accelerate
import pytest
import torch

from nearfar import settings
from nearfar.errors import ConfigError, MissingExtraError
from nearfar.train.config import DataConfig, LogConfig, ModelConfig, Recipe, TrainConfig
from nearfar.train.launch import make_accelerator, settled


def test_one_process():
    accelerator = make_accelerator()
    assert (accelerator.process_index, accelerator.num_processes) == (0, 1)
    assert accelerator.is_main_process and isinstance(accelerator.device, torch.device)


def test_without_accelerate_the_remedy_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "accelerate", None)
    with pytest.raises(MissingExtraError, match="pip install .accelerate"):
        make_accelerator()


def test_sharded_launchers_are_refused(monkeypatch):
    monkeypatch.setattr(accelerate.Accelerator, "distributed_type", "DistributedType.FSDP")
    with pytest.raises(ConfigError, match="launched with FSDP"):
        make_accelerator()


def recipe_with(dtype):
    train = TrainConfig(steps=1, dtype=dtype)
    return Recipe(model=ModelConfig(kind="ppd"), data=DataConfig(), train=train, log=LogConfig())


@pytest.mark.parametrize(("is_fast", "expected"), [(True, "bf16"), (False, "fp32")])
def test_auto_becomes_what_the_processor_is_fast_at(monkeypatch, is_fast, expected):
    monkeypatch.setattr(settings, "has_fast_bf16", lambda: is_fast)
    cpu = torch.device("cpu")
    assert settled(recipe_with("auto"), cpu).train.dtype == expected
    for asked in ("bf16", "fp32"):
        assert settled(recipe_with(asked), cpu).train.dtype == asked


def test_auto_never_trains_in_fp16(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda: False)
    assert settled(recipe_with("auto"), torch.device("cuda")).train.dtype == "fp32"
