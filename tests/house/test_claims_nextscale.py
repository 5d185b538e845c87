"""benchmarks/claims/nextscale.py on invented scenes: shared features, every claim answered."""

import argparse
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from source_tree import ROOT

from nearfar.geometry.camera import intrinsics_from_fov
from nearfar.models.ppd.objective import log_depth_target
from nearfar.tokenizers.presets import MICRO
from nearfar.tokenizers.vqvae import VQVAE, draw_codebook
from nearfar.train.targets import draw_weights

TABLES = {1: (10,), 4: (1, 3, 6, 10), 7: (1, 2, 3, 4, 6, 8, 10), 10: tuple(range(1, 11))}


@pytest.fixture(scope="module")
def claims():
    """The claims and their parts, imported as the command imports them."""
    sys.path.insert(0, str(ROOT / "benchmarks"))
    try:
        from claims import nextscale, nextscale_networks, scenes
    finally:
        sys.path.remove(str(ROOT / "benchmarks"))
    return nextscale, nextscale_networks, scenes


@pytest.fixture(scope="module")
def scenes(claims):
    """Four photos of boxes before a receding floor, 40x40 of 40x60; semantics of noise."""
    depth = torch.linspace(9, 2, 40)[:, None].expand(4, 40, 40).clone()
    for index in range(4):
        depth[index, 8:24, 6 + 4 * index : 20 + 4 * index] = 1.5 + 0.3 * index
    valid = torch.ones(4, 40, 40, dtype=torch.bool)
    target = log_depth_target(depth, valid_BHW=valid, sky_BHW=~valid)
    image = (depth[:, None] / 9).expand(4, 3, 40, 40).contiguous()
    semantics = torch.randn(4, 100, 208, generator=seeded(0))
    fov = torch.full((4,), 60.0)
    scenes = claims[2].Scenes(image, semantics, depth, target, depth, valid, fov, (40, 60))
    assert scenes.count == 4
    return scenes


@pytest.fixture(scope="module")
def tokenizer():
    with torch.random.fork_rng(devices=[]):
        network = VQVAE(replace(MICRO, image_channels=1, codebook=32, scales=TABLES[7]))
    draw_weights(network, generator=seeded(1))
    draw_codebook(network, generator=seeded(2))
    return network.eval().requires_grad_(False)


@pytest.fixture(scope="module")
def pool(claims, scenes, tokenizer):
    return claims[1].encoded(tokenizer, scenes)


def seeded(number):
    return torch.Generator().manual_seed(number)


def test_squashed_pixels_keep_the_photo_s_rays(scenes):
    own = intrinsics_from_fov(60.0, (40, 60))
    squashed = scenes.intrinsics(0)
    for column, row in ((0.5, 0.5), (30.0, 20.0), (59.5, 7.5)):
        ray = np.linalg.solve(own, [column, row, 1.0])
        same = np.linalg.solve(squashed, [column * 40 / 60, row, 1.0])
        np.testing.assert_allclose(same, ray, atol=1e-12)


def test_tuning_keeps_the_features_and_teaches_a_table(claims, pool, tokenizer):
    networks, data = claims[1], claims[2]
    found = networks.tuned_tokenizer(tokenizer, TABLES[4], pool, seconds=2.5, generator=seeded(3))
    assert found.config.scales == TABLES[4]
    assert torch.equal(found.features(pool.image_B1HW), tokenizer.features(pool.image_B1HW))
    codes = tokenizer.quantize.embedding.weight
    assert not torch.equal(found.quantize.embedding.weight, codes)
    before = data.scores(networks.ceiling(tokenizer, pool), pool.scenes)
    after = data.scores(networks.ceiling(found, pool), pool.scenes)
    assert after["abs_rel"] < before["abs_rel"]  # how much depends on the machine's speed


def test_every_claim_is_answered_by_arms_that_kept_their_budget(
    claims, pool, tokenizer, monkeypatch
):
    module, networks, _ = claims
    monkeypatch.setattr(networks, "HYPOTHESES", 2)
    tables = {}
    for count, scales in TABLES.items():
        with torch.device("meta"):
            tables[count] = VQVAE(replace(tokenizer.config, scales=scales))
        tables[count].load_state_dict(tokenizer.state_dict(), assign=True)
        tables[count].requires_grad_(False)
    options = argparse.Namespace(seconds=0.2, only={"a", "b", "c", "d"})
    rows = module.one_seed(tables, pool, pool, options, 0)
    assert rows.keys() >= {name for pair in module.CLAIMS.values() for name in pair}
    assert all(row["train_s"] < 3 and row["train_steps"] >= 1 for row in rows.values())
    assert rows["no photo, expected"]["abs_rel"] != rows["ladder, expected"]["abs_rel"]
    assert "ause" in rows["ladder, sample"] and "ause" not in rows["ladder, expected"]
    assert rows["dynamic, greedy"] == rows["7 stages, greedy"] != rows["teacher, greedy"]
    floors = module.floor_rows(tables, pool)
    assert floors["encoder"]["abs_rel"] < 1e-4 < floors["row ramp"]["abs_rel"]  # it was told
    assert floors["1 stages, ceiling"] != floors["10 stages, ceiling"]
