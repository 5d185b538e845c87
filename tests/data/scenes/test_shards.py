import pytest
import torch

from nearfar.data.scenes import shards as module
from nearfar.data.scenes.options import SceneOptions
from nearfar.data.scenes.renderer import render_scenes
from nearfar.data.scenes.shards import SceneShards
from nearfar.errors import ConfigError, DataError

HW = (16, 21)  # an odd number of pixels: sky bits need padding


def store(folder, **changes):
    settings = dict(seed=3, size_hw=HW, options=SceneOptions(), shard_size=3) | changes
    return SceneShards(folder, **settings)


def test_round_trip_equals_rendering(tmp_path):
    batch = store(tmp_path).batch(torch.tensor([4, 0]))
    drawn = render_scenes([4, 0], seed=3, size_hw=HW, device="cpu", options=SceneOptions())
    exact = drawn.as_depth_batch()
    assert (batch.image_B3HW - exact.image_B3HW).abs().max() <= 0.5 / 255 + 1e-6
    torch.testing.assert_close(batch.depth_BHW, exact.depth_BHW, rtol=6e-4, atol=1e-6)
    assert torch.equal(batch.sky_BHW, exact.sky_BHW)
    assert torch.equal(batch.valid_BHW, exact.valid_BHW)
    assert torch.equal(batch.fov_x_deg_B, exact.fov_x_deg_B)


def test_existing_shards_are_not_rendered_again(tmp_path, monkeypatch):
    first, calls = store(tmp_path), []
    first.ensure(6, lambda done, total: calls.append((done, total)))
    assert calls[-1] == (6, 6) and first.missing(6) == [] and first.missing(7) == [2]
    first.path(1).unlink()
    numbers = []
    real = module.render_scenes
    monkeypatch.setattr(module, "render_scenes", lambda i, **k: numbers.extend(i) or real(i, **k))
    second = store(tmp_path)
    second.ensure(6)
    assert numbers == [3, 4, 5]
    second.batch(torch.tensor([0, 5]))
    assert numbers == [3, 4, 5]


def test_workers_share_the_missing_shards(tmp_path):
    store(tmp_path).ensure(9, worker=1, workers=2)
    assert store(tmp_path).missing(9) == [0, 2]
    assert not list(tmp_path.rglob("*.tmp"))


def test_folder_names_keep_different_sets_apart(tmp_path):
    folders = {
        store(tmp_path).folder,
        store(tmp_path, seed=4).folder,
        store(tmp_path, size_hw=(16, 24)).folder,
        store(tmp_path, shard_size=4).folder,
        store(tmp_path, options=SceneOptions(texture_seed=1)).folder,
    }
    assert len(folders) == 5


def test_damaged_shards_and_bad_requests_say_so(tmp_path):
    shards = store(tmp_path)
    shards.folder.mkdir(parents=True)
    shards.path(0).write_bytes(b"no shard")
    with pytest.raises(DataError, match="000000.pt"):
        shards.batch(torch.tensor([0]))
    with pytest.raises(ConfigError):
        shards.batch(torch.tensor([-1]))
    with pytest.raises(ConfigError):
        store(tmp_path, shard_size=0)
