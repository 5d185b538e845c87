import sys

import accelerate
import pytest
import torch

from sonde.errors import ConfigError, MissingExtraError
from sonde.train.launch import make_accelerator


def test_one_process():
    accelerator = make_accelerator()
    assert (accelerator.process_index, accelerator.num_processes) == (0, 1)
    assert accelerator.is_main_process and isinstance(accelerator.device, torch.device)


def test_without_accelerate_the_remedy_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "accelerate", None)
    with pytest.raises(MissingExtraError, match=r"sonde\[train\]"):
        make_accelerator()


def test_sharded_launchers_are_refused(monkeypatch):
    monkeypatch.setattr(accelerate.Accelerator, "distributed_type", "DistributedType.FSDP")
    with pytest.raises(ConfigError, match="launched with FSDP"):
        make_accelerator()
