"""benchmarks/claims/dar.py on invented scenes: rivals differ where they claim to, and all learn."""

import json
import sys
import time

import pytest
import torch
from source_tree import ROOT

from nearfar.encoders.outputs import EncoderOutput
from nearfar.models.dar.sample import sample_steps


@pytest.fixture(scope="module")
def claims():
    """The claims and their parts, imported as the command imports them."""
    sys.path.insert(0, str(ROOT / "benchmarks"))
    try:
        from claims import dar, dar_networks, dar_scenes
    finally:
        sys.path.remove(str(ROOT / "benchmarks"))
    return dar, dar_scenes, dar_networks


@pytest.fixture(scope="module")
def scenes(claims):
    """Four receding floors; an encoder that says noise and two thirds of the depth."""
    generator = torch.Generator().manual_seed(0)
    near = torch.arange(1.0, 5)[:, None, None]
    depth = torch.linspace(9, 2, 32)[:, None].expand(4, 32, 48) / near.sqrt()
    valid = torch.ones(4, 32, 48, dtype=torch.bool)
    log_depth = (depth / 1.5).log()
    outputs = EncoderOutput(
        log_depth,
        torch.full_like(log_depth, -5),
        torch.zeros(4),
        torch.randn(4, 24, 192, generator=generator),
        log_depth[:, None, ::2, ::2],
        (4, 6),
    )
    image = (depth[:, None] / 9).expand(4, 3, 32, 48).contiguous()
    return claims[1].Scenes(image, outputs, depth / 1.5, depth, valid, valid & (depth < 80))


def seeded(number):
    return torch.Generator().manual_seed(number)


def rival(claims, name, seed=0):
    kind, config = claims[0].RIVALS[name]
    return claims[2].new_rival(kind, config, generator=seeded(seed))


def steps_of(network, scenes):
    network.eval()
    network.encoder.backbone.outputs = scenes.outputs
    sizes = network.sizes((32, 48))
    with torch.no_grad():
        return sample_steps(network, network.encode(scenes.image_B3HW), sizes, stop_at=len(sizes))


def test_scores_are_of_metres_and_of_shape(claims, scenes):
    data = claims[1]
    exact = data.scores(scenes.depth_BHW, scenes)
    assert exact["abs_rel"] < 1e-6 and exact["delta1"] == 1 and exact["aligned_abs_rel"] < 1e-5
    guess = data.scores(scenes.guess_BHW, scenes)
    assert guess["abs_rel"] == pytest.approx(1 / 3, rel=1e-4) and guess["delta1"] == 0
    assert guess["aligned_abs_rel"] < 0.03
    flat = data.flat_metres(scenes, scenes)
    assert flat.log().mean() == pytest.approx(float(scenes.depth_BHW.log().mean()), rel=1e-5)


def test_every_rival_trains_its_own_parts(claims, scenes, monkeypatch):
    monkeypatch.setattr(claims[0], "BATCH", 2)
    for name in claims[0].RIVALS:
        network = rival(claims, name).train()
        claims[0].make_loss(network, scenes, seeded(1))().backward()
        without = [n for n, p in network.named_parameters() if p.grad is None]
        assert not without, (name, without)


def test_rivals_are_what_they_say(claims, scenes):
    found = {name: steps_of(rival(claims, name), scenes) for name in claims[0].RIVALS}
    assert {name: len(steps) for name, steps in found.items()} == {
        **dict.fromkeys(found, 5),
        "none": 1,
        "1 step": 1,
        "2 steps": 2,
        "3 steps": 3,
    }
    refreshed, fixed = (found[name][4].spread_B1hw for name in ("both", "no refresh"))
    assert fixed.mean() > 20 * refreshed.mean() > 0
    assert not found["transformer"][4].spread_B1hw.any()
    for name in ("none", "transformer", "bins", "both"):
        network = rival(claims, name)
        blocks = [n for n, _ in network.named_parameters() if "mid_block" in n]
        bins = [n for n, _ in network.named_parameters() if "bin_projection" in n]
        assert bool(blocks) == (name in ("transformer", "both")), name
        assert bool(bins) == (name in ("bins", "both")), name


def test_the_prior_starts_at_the_encoder(claims, scenes):
    found = claims[1].scores(claims[0].metres(rival(claims, "prior"), scenes, stop_at=5), scenes)
    assert found["abs_rel"] == pytest.approx(1 / 3, abs=0.02)


def test_pooled_tokens_follow_the_photo(claims, scenes):
    network = rival(claims, "bins")
    turned = scenes._replace(
        outputs=scenes.outputs._replace(tokens_BLD=scenes.outputs.tokens_BLD.flip(1))
    )
    one, other = steps_of(network, scenes)[0], steps_of(network, turned)[0]
    assert (one.depth_B1hw - other.depth_B1hw).abs().max() > 1e-4


def test_a_short_training_stays_in_its_seconds_and_learns(claims, scenes, monkeypatch):
    module = claims[0]
    monkeypatch.setattr(module, "BATCH", 4)
    start = time.process_time()
    rows = module.one_rival("none", scenes, scenes, 1.0, 0)
    assert time.process_time() - start < 6
    fresh = claims[1].scores(module.metres(rival(claims, "none"), scenes, stop_at=1), scenes)
    assert rows["none"]["rmse_log"] < fresh["rmse_log"]
    rows = module.one_rival("both", scenes, scenes, 0.1, 0)
    assert list(rows) == ["both", *(f"both, stopped at {k}" for k in range(1, 5))]


def test_runs_are_added_beside_older_ones(claims, tmp_path, capsys):
    path = tmp_path / "claims.json"
    path.write_text('{"benchmark": "b", "date": "then", "arms": {"none": 1}}')
    add_run = claims[0].add_run
    add_run("b", {"arms": {"wider": 2}, "dtype": "fp32"}, path=path, keep=True)
    old, new = json.loads(path.read_text())["runs"]
    assert old == {"date": "then", "arms": {"none": 1}}
    assert new["arms"] == {"wider": 2} and {"date", "commit", "command", "machine"} <= set(new)
    add_run("b", {"arms": {}}, path=path, keep=True)
    assert len(json.loads(path.read_text())["runs"]) == 3
    add_run("b", {"arms": {}}, path=path, keep=False)
    assert len(json.loads(path.read_text())["runs"]) == 1
    add_run("b", {"arms": {}}, path=None, keep=True)
    assert capsys.readouterr().out.count('"benchmark": "b"') == 4


@pytest.mark.parametrize(("has_fast", "expected"), [(True, "bf16"), (False, "fp32")])
def test_the_faster_dtype_is_chosen_and_used(claims, monkeypatch, has_fast, expected):
    from claims import training

    monkeypatch.setattr(training, "has_fast_bf16", lambda: has_fast)
    assert training.faster_dtype() == expected
    network, seen = torch.nn.Linear(2, 2), []

    def loss():
        seen.append(network(torch.ones(1, 2)).dtype)
        return network.weight.sum()

    training.fit(network, loss, seconds=1e-9)
    training.fit(network, loss, seconds=1e-9, dtype="fp32")
    dtypes = {"bf16": torch.bfloat16, "fp32": torch.float32}
    assert seen == [dtypes[expected], torch.float32]
