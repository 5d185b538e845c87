from dataclasses import replace

import numpy as np
import pytest
import torch
from micro_run import FakeSource, build_micro, micro_recipe, no_augment

from nearfar.data.sample import DepthBatch
from nearfar.errors import ConfigError
from nearfar.io.images import write_picture
from nearfar.train.config import DataConfig
from nearfar.train.loop import train
from nearfar.train.sources import (
    ClipSource,
    Feed,
    build_source,
    build_validation,
    build_views,
    draw_indices,
    stream,
    window,
)
from nearfar.train.watch import Watcher

CPU = torch.device("cpu")


def test_window_grows_by_shards_with_the_samples_seen():
    data = DataConfig(count=1000, shard=100, reuse=4.0)
    assert window(0, data, 1000) == 100
    assert window(1, data, 1000) == 200
    assert window(400, data, 1000) == 200 and window(401, data, 1000) == 300
    assert window(10**6, data, 1000) == 1000 and window(10**6, data, 64) == 64
    assert window(0, replace(data, source="folder", path="x"), 37) == 37
    later = replace(data, first=250)
    assert window(0, later, 1000) == 300 and window(1, later, 1000) == 300
    assert window(1000, later, 1000) == 400


def test_indices_depend_on_seed_and_step_only(tmp_path):
    recipe = micro_recipe(tmp_path, train={"accumulate": 2})
    one = draw_indices(3, recipe, world_size=1, length=64)
    assert one.shape == (1, 2, 4)
    torch.rand(5, generator=stream(CPU, 1))
    assert torch.equal(one, draw_indices(3, recipe, world_size=1, length=64))
    assert not torch.equal(one, draw_indices(4, recipe, world_size=1, length=64))
    other = micro_recipe(tmp_path, train={"accumulate": 2, "seed": 5})
    assert not torch.equal(one, draw_indices(3, other, world_size=1, length=64))


def test_ranks_and_parts_share_the_draw_of_one_larger_batch(tmp_path):
    many = micro_recipe(tmp_path, train={"accumulate": 2, "batch_size": 3})
    one = micro_recipe(tmp_path, train={"batch_size": 12})
    drawn = draw_indices(2, many, world_size=2, length=64)
    assert (
        drawn.flatten().tolist() == draw_indices(2, one, world_size=1, length=64).flatten().tolist()
    )


def test_first_steps_need_the_first_shards_only(tmp_path):
    recipe = micro_recipe(tmp_path)
    for step in range(20):
        indices = draw_indices(step, recipe, world_size=1, length=64)
        assert indices.max() < window(step * 4, recipe.data, 64) <= 8 * (step + 1)


def test_streams_never_meet():
    draws = {
        tuple(torch.rand(2, generator=stream(CPU, *key)).tolist())
        for key in [(0, 0), (0, 1), (1, 0), (0,), (0, 0, 1)]
    }
    assert len(draws) == 5


@pytest.mark.parametrize("prefetch", [0, 3])
def test_prefetch_changes_nothing(tmp_path, prefetch):
    recipe = micro_recipe(tmp_path, train={"accumulate": 2})
    recipe = replace(recipe, data=replace(recipe.data, prefetch=prefetch))

    def augment(batch, generator):
        return batch._replace(image_B3HW=torch.rand(1, generator=generator) * batch.image_B3HW)

    feed = Feed(recipe, FakeSource(), augment, device=CPU)
    with feed.ahead(1, 4) as batches:
        got = list(batches)
    expected = [feed.part(step, part) for step in (1, 2, 3) for part in (0, 1)]
    assert len(got) == 6
    assert all(torch.equal(a.image_B3HW, b.image_B3HW) for a, b in zip(got, expected, strict=True))


def test_prefetch_hands_on_errors_and_ends_its_thread(tmp_path):
    import threading

    recipe = micro_recipe(tmp_path)
    recipe = replace(recipe, data=replace(recipe.data, prefetch=2))

    class Broken(FakeSource):
        def batch(self, indices):
            if len(self.asked) == 2:
                raise OSError("disk gone")
            return super().batch(indices)

    with Feed(recipe, Broken(), no_augment, device=CPU).ahead(0, 9) as batches:
        next(batches), next(batches)
        with pytest.raises(OSError, match="disk gone"):
            next(batches)
    with Feed(recipe, FakeSource(), no_augment, device=CPU).ahead(0, 9) as batches:
        next(batches)
    assert not [t for t in threading.enumerate() if t.name == "nearfar-prefetch"]


def test_held_out_scenes_have_other_seeds_and_few_shards():
    asked = []
    data = DataConfig(seed=3, shard=256, validation_count=16)
    build_validation(data, CPU, lambda held_out, device: asked.append(held_out) or FakeSource())
    (held_out,) = asked
    assert held_out.seed != 3 and held_out.count == held_out.shard == 16
    assert held_out.options["texture_seed"] != 0
    off = replace(data, validation_count=0)
    assert build_validation(off, CPU, lambda *_: FakeSource()) is None
    own = replace(data, source="folder", path="train.csv")
    assert build_validation(own, CPU, lambda *_: FakeSource()) is None
    build_validation(
        replace(own, validation_path="val.csv"), CPU, lambda d, _: asked.append(d) or FakeSource()
    )
    assert asked[-1].path == "val.csv"


def test_unknown_source_is_refused():
    with pytest.raises(ConfigError, match="scenes, folder"):
        build_source(DataConfig(source="scene"), CPU)


def test_augmentation_is_applied(tmp_path):
    feed = Feed(micro_recipe(tmp_path), FakeSource(), no_augment, device=CPU)
    assert feed.part(0, 0).image_B3HW.shape == (4, 3, 16, 24)


def test_own_folder_trains(tmp_path):
    rows = ["rgb,depth,unit"]
    for number in range(3):
        pixels = torch.randint(0, 255, (30, 40, 3), generator=stream(CPU, number))
        rgb = pixels.numpy().astype(np.uint8)
        write_picture(rgb, tmp_path / f"{number}.png")
        depth = np.full((30, 40), 1500 + 500 * number, np.float32)
        depth[15:] += 1000
        depth[:, ::2] = 0  # sparse
        np.save(tmp_path / f"{number}.npy", depth)
        rows.append(f"{number}.png,{number}.npy,mm")
    (tmp_path / "list.csv").write_text("\n".join(rows))
    recipe = micro_recipe(tmp_path / "run", train={"steps": 2}, log={"every": 1})
    listed = str(tmp_path / "list.csv")
    data = replace(recipe.data, source="folder", path=listed, validation_path=listed)
    recipe = replace(recipe, data=data)
    end = train(recipe, build=build_micro)
    assert end.is_complete and 0 < end.metrics["abs_rel"] < 1
    source = build_source(data, CPU)
    one, again = source.batch(torch.tensor([2, 0])), source.batch(torch.tensor([2, 0]))
    assert one.image_B3HW.shape == (2, 3, 16, 24) and len(source) == 3
    assert one.depth_BHW[0][one.valid_BHW[0]].unique().tolist() == [2.5, 3.5]
    assert torch.equal(one.image_B3HW, again.image_B3HW)


def test_rendered_scenes_train(tmp_path, monkeypatch):
    monkeypatch.setenv("NEARFAR_CACHE", str(tmp_path))
    recipe = micro_recipe(tmp_path / "run", train={"steps": 2, "batch_size": 2})
    recipe = replace(recipe, data=replace(recipe.data, shard=3, validation_count=2))
    ready = []

    class Looking(Watcher):
        def on_data(self, done, wanted):
            ready.append((done, wanted))

    assert train(recipe, build=build_micro, watcher=Looking()).is_complete
    assert ready[-1] == (2, 2)  # the held-out ones, after a shard of 3
    folders = sorted((tmp_path / "scenes").iterdir())
    assert len(folders) == 2  # other seed and textures when held out
    assert sum(len(list(folder.glob("*.pt"))) for folder in folders) == 3


def test_scenes_of_several_sizes_come_one_size_a_batch(monkeypatch, tmp_path):
    from nearfar.data.scenes import shards

    asked = []

    class Counted:
        """Stands for the cache of one size; image n is filled with n."""

        def __init__(self, folder, *, seed, size_hw, shard_size, options, device):
            self.seed, self.size_hw, self.street = seed, size_hw, options.street

        def batch(self, indices):
            asked.append((self.size_hw, indices.tolist()))
            return self.size_hw

        def ensure(self, count, progress, *, worker, workers):
            asked.append((self.size_hw, count))

    monkeypatch.setattr(shards, "SceneShards", Counted)
    mix = (
        {"size": [24, 32], "weight": 2},
        {"size": [16, 48], "seed": 5, "options": {"street": 1.0}},
    )
    data = DataConfig(seed=1, size=(24, 32), count=300, mix=mix, options={"street": 0.5})
    source = build_source(data, CPU)
    source.batch(torch.tensor([3, 5, 7]))  # 3 = first of round 1: the first part
    source.batch(torch.tensor([5, 3, 9]))  # 5 = last of round 1: the second part
    assert asked == [((24, 32), [2, 2, 5]), ((16, 48), [1, 1, 3])]
    asked.clear()
    source.prepare(100, progress=None, rank=0, world_size=1)
    assert asked == [((24, 32), 68), ((16, 48), 34)]
    first, second = source._shards
    assert (first.seed, second.seed, first.street, second.street) == (1, 6, 0.5, 1.0)
    with pytest.raises(ConfigError, match=r"data.mix"):
        build_source(replace(data, mix=({"size": [24, 32], "wight": 2},)), CPU)


def test_a_crop_of_nothing_is_the_whole_size_of_each_batch():
    views = build_views(DataConfig(crop=(0, 0)))
    for size in ((16, 24), (12, 36)):
        batch = DepthBatch(
            torch.rand(2, 3, *size), torch.ones(2, *size), torch.ones(2, *size, dtype=torch.bool),
            torch.zeros(2, *size, dtype=torch.bool), torch.full((2,), 60.0),
        )  # fmt: skip
        seen = views.train(batch, stream(CPU, 1))
        assert seen.image_B3HW.shape[-2:] == size
        assert views.held_out(batch).depth_BHW.shape[-2:] == size
    with pytest.raises(ConfigError, match="data.size"):
        DataConfig(crop=(0, 8))


DATA = DataConfig(
    source="clips", size=(16, 24), crop=(8, 16), count=4, shard=2, validation_count=2,
    options={"frames": 4}, augment={"window": 3},
)  # fmt: skip


def test_batches_are_clips_from_the_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("NEARFAR_CACHE", str(tmp_path))
    source = build_source(DATA, CPU)
    assert isinstance(source, ClipSource) and len(source) == 4
    source.prepare(2, progress=lambda done, wanted: None, rank=0, world_size=1)
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


def test_a_drawn_crop_gives_batches_of_several_shapes():
    views = build_views(DataConfig(crop=(0, 0), crops=((0, 0), (24, 16), (90, 10))))
    batch = DepthBatch(
        torch.rand(2, 3, 16, 24), torch.ones(2, 16, 24), torch.ones(2, 16, 24, dtype=torch.bool),
        torch.zeros(2, 16, 24, dtype=torch.bool), torch.full((2,), 60.0),
    )  # fmt: skip
    sizes = {tuple(views.train(batch, stream(CPU, n)).depth_BHW.shape[1:]) for n in range(20)}
    assert sizes == {(16, 24), (24, 16)}  # 90 rows of 16 would be blur
    assert views.held_out(batch).depth_BHW.shape[1:] == (16, 24)
