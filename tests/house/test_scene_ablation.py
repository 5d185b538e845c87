"""benchmarks/scene_ablation.py and its training on invented scenes: equal means, resumed runs."""

import json
import sys
import time
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from source_tree import ROOT

from nearfar.data.sample import DepthBatch


@pytest.fixture(scope="module")
def modules():
    """The benchmark and its parts, imported as a script imports them."""
    sys.path.insert(0, str(ROOT / "benchmarks"))
    try:
        import encoder_training
        import ledger
        import quality_tiny
        import scene_ablation
    finally:
        sys.path.remove(str(ROOT / "benchmarks"))
    return SimpleNamespace(
        training=encoder_training, ledger=ledger, quality=quality_tiny, ablation=scene_ablation
    )


class Floors:
    """Floors seen at many pitches: what is bright is near."""

    size_hw = (32, 48)

    def batch(self, numbers):
        count = len(numbers)
        far_B11 = 4.0 + 2.0 * (numbers % 8).float()[:, None, None]
        share_1H1 = torch.linspace(0, 1, 32)[None, :, None]
        depth = (far_B11 * (1 - share_1H1) + 1.0 * share_1H1).expand(count, 32, 48).contiguous()
        image = (1 / depth)[:, None].expand(count, 3, 32, 48).contiguous()
        valid = torch.ones_like(depth, dtype=torch.bool)
        return DepthBatch(image, depth, valid, ~valid, torch.full((count,), 60.0))


def sets_of(modules):
    batch = Floors().batch(torch.arange(4))
    photos = (batch.image_B3HW * 255).round().byte().permute(0, 2, 3, 1).numpy()
    members = [
        modules.quality.Pair(str(i), np.ascontiguousarray(rgb), depth, depth > 0)
        for i, (rgb, depth) in enumerate(zip(photos, batch.depth_BHW.double().numpy()))
    ]
    return {"rendered": members, "pairs": members[:2]}


def micro_job(modules, **changes):
    micro = modules.training.PRESETS["micro"]
    settings = {"network": micro, "batch": 8, "scenes": 16, "samples": 320}
    return modules.training.Job(**(settings | changes))


def test_the_recipe_trains_and_points_are_where_they_were_asked(modules):
    training, sets = modules.training, sets_of(modules)
    job = micro_job(modules)
    points = list(training.train(job, Floors(), seed=0, at=[8, 60, 320]))
    assert [done.samples for done in points] == [8, 64, 320]
    errors = [training.judge(training.predictor(done.network), sets)["rendered"] for done in points]
    assert errors[-1]["abs_rel"] < 0.5 * errors[0]["abs_rel"]
    assert errors[-1]["delta1"] > errors[0]["delta1"]
    (again,) = training.train(job, Floors(), seed=0)
    twin = points[-1].network.state_dict()
    assert all(
        torch.equal(tensor, twin[name]) for name, tensor in again.network.state_dict().items()
    )


def test_a_job_ends_with_its_processor_time_and_the_rate_follows_it(modules):
    job = micro_job(modules, samples=float("inf"), seconds=0.4)
    start = time.process_time()
    (done,) = modules.training.train(job, Floors(), seed=0)
    assert 0.4 <= done.seconds <= time.process_time() - start < 5
    config = modules.training.recipe_config(torch.device("cpu"))
    rates = [modules.training.rate(config, job, 10**4, spent) for spent in (0.0, 0.5, 1.0)]
    assert rates[0] == config.learning_rate and rates[0] > 1.9 * rates[1] > 10 * rates[2]
    steady = micro_job(modules, falls=False)
    assert modules.training.rate(config, steady, 10**4, 0.9) == config.learning_rate
    assert config.optimizer == "muon" and config.dtype in ("bf16", "fp32")


@pytest.fixture
def bench(modules, monkeypatch, tmp_path):
    """The ablation with invented scenes, the micro encoder and tenths of seconds."""
    trained = []

    def train(job, shards, *, seed, device):
        trained.append((job.augment, seed))
        return modules.training.train(job, shards, seed=seed, device=device)

    monkeypatch.setattr(modules.ablation, "train", train)
    monkeypatch.setattr(modules.ablation, "pool", lambda chosen, changes: Floors())
    monkeypatch.setattr(modules.ablation, "judged_sets", lambda chosen: sets_of(modules))
    path = tmp_path / "ablation.json"

    def run(*words, seconds=0.1):
        chosen = modules.ablation.arguments(["--quick", "--output", str(path), *words])
        chosen.seconds, chosen.scenes, chosen.batch = seconds, 16, 8
        settings = modules.training.common_settings(chosen) | {"seconds": seconds}
        trained.clear()
        modules.ablation.run(chosen, modules.ledger.Ledger("scene_ablation", path, settings))
        return list(trained), json.loads(path.read_text())

    run.path = path
    return run


def test_runs_are_paired_by_seed_and_resumed(modules, bench, capsys):
    trained, record = bench()
    assert len(trained) == 6 and len(set(trained)) == 4  # the third variant changes augmentation
    rows = record["variants"]
    assert rows.keys() == set(modules.ablation.QUICK) and "loss" not in rows["all"]
    for set_name in ("rendered", "pairs"):
        loss = rows["no prints"]["loss"][set_name]
        errors, whole = (rows[name]["abs_rel"][set_name] for name in ("no prints", "all"))
        paired = np.subtract(errors["values"], whole["values"])
        assert loss["values"] == pytest.approx(paired)
        assert loss["deviation"] == pytest.approx(np.std(paired, ddof=1))
        assert record["baselines"]["row ramp"][set_name]["abs_rel"] < 0.2
    assert "no prints" in capsys.readouterr().out
    trained, again = bench()
    passing = {key: again[key] for key in ("date", "load_average")}
    assert (trained, again) == ([], record | passing)

    lost = record["runs"]["no random filter"].pop("1")
    bench.path.write_text(json.dumps(record))
    trained, whole = bench()
    assert [seed for _, seed in trained] == [1]
    assert whole["runs"]["no random filter"]["1"].keys() == lost.keys()


def test_other_settings_are_refused_and_nothing_is_lost(bench):
    _, record = bench()
    with pytest.raises(SystemExit, match=r"seconds 0.1 -> 0.2.*--output OTHER"):
        bench(seconds=0.2)
    assert bench()[1]["runs"] == record["runs"]


def test_variants_change_what_they_say(modules):
    from nearfar.data.augment import AugmentOptions
    from nearfar.data.scenes.options import SceneOptions

    for name, variant in modules.ablation.VARIANTS.items():
        scenes, augment = SceneOptions(**variant.scenes), AugmentOptions(**variant.augment)
        is_changed = scenes != SceneOptions() or augment != AugmentOptions()
        assert is_changed is (name != "all"), name
