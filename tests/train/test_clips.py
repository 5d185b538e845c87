"""Clips as training data: shapes, the cache, how they are seen, held-out ones."""

from dataclasses import replace

import pytest
import torch
from micro_run import micro_recipe

from nearfar.errors import ConfigError
from nearfar.train.clips import ClipSource
from nearfar.train.config import DataConfig
from nearfar.train.sources import build_source, build_validation, build_views, window

CPU = torch.device("cpu")
DATA = DataConfig(
    source="clips", size=(16, 24), crop=(8, 16), count=4, shard=2, validation_count=2,
    options={"frames": 4}, augment={"window": 3},
)  # fmt: skip


def test_batches_are_clips_from_the_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("NEARFAR_CACHE", str(tmp_path))
    source = build_source(DATA, CPU)
    assert isinstance(source, ClipSource) and len(source) == 4
    source.prepare(2, progress=lambda done, wanted: None, share=(0, 1))
    (folder,) = (tmp_path / "scenes").iterdir()
    assert folder.name.startswith("clips_0_16x24_2_") and len(list(folder.iterdir())) == 1
    batch = source.batch(torch.tensor([1, 0]))
    assert batch.image_B3HW.shape == (2, 4, 3, 16, 24) and batch.fov_x_deg_B.shape == (2,)
    views = build_views(DATA)
    seen = views.train(batch, torch.Generator().manual_seed(0))
    assert seen.image_B3HW.shape == (2, 3, 3, 8, 16) and seen.depth_BHW.shape == (2, 3, 8, 16)
    assert views.held_out(batch).valid_BHW.shape == (2, 3, 8, 16)
    asked = []
    build_validation(DATA, CPU, lambda data, device: asked.append(data) or source)
    assert asked[0].seed != DATA.seed and asked[0].options["texture_seed"] != 0
    assert window(0, DATA, 4) == 2  # the pool grows shard by shard, as that of scenes


def test_unknown_options_are_named(tmp_path):
    with pytest.raises(ConfigError, match="Did you mean frames"):
        build_source(replace(DATA, options={"frame": 4}), CPU)
    with pytest.raises(ConfigError, match="Did you mean window"):
        build_views(replace(DATA, augment={"windows": 4}))
    assert micro_recipe(tmp_path).data.source == "scenes"
