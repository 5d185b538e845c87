"""benchmarks/claims/ppd.py on invented scenes: rivals that start alike, budgets that are kept."""

import sys
import time

import pytest
import torch
from source_tree import ROOT

from nearfar.models.ppd.objective import log_depth_target


@pytest.fixture(scope="module")
def claims():
    """The claims and their parts, imported as the command imports them."""
    sys.path.insert(0, str(ROOT / "benchmarks"))
    try:
        from claims import ppd, ppd_networks, report, scenes
    finally:
        sys.path.remove(str(ROOT / "benchmarks"))
    return ppd, scenes, ppd_networks, report


@pytest.fixture(scope="module")
def scenes(claims):
    """Four photos of boxes before a receding floor; semantics of noise."""
    generator = torch.Generator().manual_seed(0)
    depth = torch.linspace(9, 2, 32)[:, None].expand(4, 32, 48).clone()
    for index in range(4):
        depth[index, 8:20, 6 + 6 * index : 20 + 6 * index] = 1.5 + 0.3 * index
    valid = torch.ones(4, 32, 48, dtype=torch.bool)
    target = log_depth_target(depth, valid_BHW=valid, sky_BHW=~valid)
    image = (depth[:, None] / 9).expand(4, 3, 32, 48).contiguous()
    semantics = torch.randn(4, 24, 208, generator=generator)
    fov = torch.full((4,), 60.0)
    return claims[1].Scenes(image, semantics, depth, target, depth, valid, fov)


def seeded(number):
    return torch.Generator().manual_seed(number)


def test_truth_is_perfect_and_stand_ins_show_edges(claims, scenes):
    data = claims[1]
    log_depth = torch.log1p(scenes.depth_BHW)
    edges = data.steepness(log_depth)
    assert edges[0, 7, 10] > 0.5 > edges[0, 2, 40]
    exact = data.scores(data.Maps(log_depth[None], edges), scenes)
    assert exact["abs_rel"] < 1e-5 and exact["delta1"] == 1 and exact["boundary_f1"] > 0.999
    assert exact["edge_chamfer_m"] < 1e-4 and exact["flying"] == 0
    noisy = torch.stack(
        [log_depth + 0.1 * torch.randn(log_depth.shape, generator=seeded(i)) for i in range(3)]
    )
    worse = data.scores(data.Maps(noisy), scenes)
    assert worse["abs_rel"] > 0.02 and worse["ause"] > 0 and worse["boundary_f1"] < 0.9


def test_rivals_answer_zero_at_the_size_of_their_latent(claims, scenes):
    module, _, networks, _ = claims
    image, semantics = scenes.image_B3HW, scenes.semantics_BLD
    for channels, shrink in ((1, 1), (4, 4)):
        network = networks.new_flat(
            module.CONFIG, generator=seeded(0), channels=channels, shrink=shrink
        )
        latent = torch.randn(4, channels, 32 // shrink, 48 // shrink, generator=seeded(1))
        out = network(latent, image, semantics, timestep=torch.tensor([1, 500, 900, 1000]))
        assert out.shape == latent.shape and not out.any()
        weight = network.final_layer.linear.weight
        weight.data += 0.1 * torch.randn(weight.shape, generator=seeded(2))
        network.final_layer.linear.bias.data += 100 * torch.arange(16 if shrink == 1 else 4.0)
        out = network(latent, image, semantics, timestep=500)
        told = network(latent, image, semantics.flip(0), timestep=500)
        assert (out - told).abs().max() > 1e-4
        # a token's outputs are its own pixels, row by row, or its channels
        cell = out[0, 0, :4, :4].flatten() if channels == 1 else out[0, :, 0, 0]
        torch.testing.assert_close(cell / 100, torch.arange(16 / shrink), atol=0.1, rtol=0)


def test_semantics_lie_where_they_belong_on_the_fine_grid(claims, scenes):
    module, _, networks, _ = claims
    network = networks.new_flat(module.CONFIG, generator=seeded(0))
    network.final_layer.linear.weight.data += 0.1 * torch.randn(
        network.final_layer.linear.weight.shape, generator=seeded(3)
    )
    latent = torch.zeros(1, 1, 32, 48)
    image, semantics = scenes.image_B3HW[:1], scenes.semantics_BLD[:1].clone()
    before = network(latent, image, semantics, timestep=500)
    semantics[0, 1 * 6 + 4] *= -1  # coarse token (1, 4): pixels 8..15, 32..39
    moved = (network(latent, image, semantics, timestep=500) - before).abs()[0, 0]
    assert moved[8:16, 32:40].min() > 0 and moved.count_nonzero() == 8 * 8


def test_the_vae_learns_and_standardizes(claims, scenes):
    networks = claims[2]
    vae = networks.new_vae(generator=seeded(0))
    clean, usable = scenes.target
    optimizer = torch.optim.Adam(vae.parameters(), lr=1e-3)
    losses = []
    for step in range(40):  # of 25 the last is luck
        loss = vae.loss(clean, usable, 0.1 * torch.randn(4, 4, 8, 12, generator=seeded(step)))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.5 * losses[0]
    vae.standardize(clean)
    with torch.no_grad():
        latent = vae.encode(clean)
        assert latent.mean().abs() < 1e-4 and abs(latent.std() - 1) < 0.1
        error = (vae.decode(latent) - vae.decoder(vae.posterior(clean).mean_BChw)).abs().max()
    assert error < 1e-4


def test_every_arm_keeps_its_budget_and_is_judged(claims, scenes):
    module, _, _, report = claims
    budget = module.Budget(seconds=0.3, steps=2)
    start = time.process_time()
    rows = {}
    for name in (*module.TRAINED, module.UNTRAINED, module.SHIPPED):
        rows |= module.one_run(name, scenes, scenes, budget, 0)
    assert time.process_time() - start < 20
    assert rows.keys() >= {name for pair in module.CLAIMS.values() for name in pair}
    for name in ("prompted", "plain", "flat", "regression", "latent"):
        assert rows[name]["train_steps"] >= 1 and rows[name]["train_s"] < 2
    assert rows["truth, clamped"]["abs_rel"] < 0.02 < rows["truth through VAE"]["abs_rel"]
    numbers = module.compared({name: {"0": row, "1": row} for name, row in rows.items()}, 2)
    report.print_tables(numbers, names=["abs_rel", "predict_s"])
    gain = numbers["claims"]["a: semantics"]["abs_rel"]
    assert gain["spread"] == 0
    assert gain["mean"] == pytest.approx(rows["prompted"]["abs_rel"] - rows["plain"]["abs_rel"])
