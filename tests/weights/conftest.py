"""Micro networks with random weights, and a cache folder of each test's own."""

import sys
from pathlib import Path

import pytest
import torch

from nearfar.encoders.depth_anything_v2 import DepthAnythingV2
from nearfar.encoders.moge2 import MoGe2
from nearfar.encoders.tiny import PRESETS as TINY_PRESETS
from nearfar.encoders.tiny import TinyEncoder
from nearfar.models.ppd.network import PPDNetwork

sys.path.insert(0, str(Path(__file__).parent))

from micro_weights import DINO, MOGE, filled, ppd_config


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    folder = tmp_path / "cache"
    monkeypatch.setenv("NEARFAR_CACHE", str(folder))
    return folder


@pytest.fixture
def ppd():
    return filled(PPDNetwork(ppd_config()))


@pytest.fixture
def tiny():
    return filled(TinyEncoder(TINY_PRESETS["micro"]), seed=1)


@pytest.fixture
def dav2():
    return filled(DepthAnythingV2(DINO), seed=2)


@pytest.fixture
def moge2():
    return filled(MoGe2(MOGE), seed=3)


@pytest.fixture
def moge2_file_content(moge2):
    """What the released MoGe-2 file holds: model_config and model, with constants beside."""
    stacks = {}
    for name in ("neck", "points_head", "mask_head", "normal_head"):
        config = getattr(MOGE, name)
        stacks[name] = {
            "dim_in": list(config.dim_in),
            "dim_res_blocks": list(config.dim_res_blocks),
            "dim_out": list(config.dim_out),
            "num_res_blocks": list(config.num_res_blocks),
            "resamplers": list(config.resamplers),
            "res_block_in_norm": "none",
            "res_block_hidden_norm": "none",
        }
    model = dict(moge2.state_dict())
    model["encoder.image_mean"] = torch.tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1)
    model["encoder.image_std"] = torch.tensor([0.229, 0.224, 0.225]).view(1, 3, 1, 1)
    model["encoder.backbone.mask_token"] = torch.zeros(1, 64)
    return {
        "model_config": {
            "encoder": {"backbone": "micro", "intermediate_layers": [0, 1, 2, 3], "dim_out": 24},
            **stacks,
            "scale_head": {"dims": [64, 64, 64, 1]},
            "remap_output": "exp",
            "num_tokens_range": [1200, 3600],
        },
        "model": model,
    }
