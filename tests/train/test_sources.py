from dataclasses import replace

import pytest
import torch
from micro_run import FakeSource, micro_recipe, no_augment

from sonde.errors import ConfigError
from sonde.train.config import DataConfig
from sonde.train.sources import (
    Feed,
    build_source,
    build_validation,
    draw_indices,
    stream,
    window,
)

CPU = torch.device("cpu")


def test_window_grows_by_shards_with_the_samples_seen():
    data = DataConfig(count=1000, shard=100, reuse=4.0)
    assert window(0, data, 1000) == 100
    assert window(1, data, 1000) == 200
    assert window(400, data, 1000) == 200 and window(401, data, 1000) == 300
    assert window(10**6, data, 1000) == 1000 and window(10**6, data, 64) == 64
    assert window(0, replace(data, source="folder", path="x"), 37) == 37


def test_indices_depend_on_seed_and_step_only(tmp_path):
    recipe = micro_recipe(tmp_path, train={"accumulate": 2})
    one = draw_indices(3, recipe, world=1, length=64)
    assert one.shape == (1, 2, 4)
    torch.rand(5, generator=stream(CPU, 1))
    assert torch.equal(one, draw_indices(3, recipe, world=1, length=64))
    assert not torch.equal(one, draw_indices(4, recipe, world=1, length=64))
    other = micro_recipe(tmp_path, train={"accumulate": 2, "seed": 5})
    assert not torch.equal(one, draw_indices(3, other, world=1, length=64))


def test_ranks_and_parts_share_the_draw_of_one_larger_batch(tmp_path):
    many = micro_recipe(tmp_path, train={"accumulate": 2, "batch_size": 3})
    one = micro_recipe(tmp_path, train={"batch_size": 12})
    drawn = draw_indices(2, many, world=2, length=64)
    assert drawn.flatten().tolist() == draw_indices(2, one, world=1, length=64).flatten().tolist()


def test_first_steps_need_the_first_shards_only(tmp_path):
    recipe = micro_recipe(tmp_path)
    for step in range(20):
        indices = draw_indices(step, recipe, world=1, length=64)
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
    assert not [t for t in threading.enumerate() if t.name == "sonde-prefetch"]


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
