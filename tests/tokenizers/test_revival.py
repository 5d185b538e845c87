from copy import deepcopy

import torch

from nearfar.tokenizers.presets import PRESETS
from nearfar.tokenizers.quantiser import MultiScaleQuantiser
from nearfar.tokenizers.revival import codebook_use, count_and_revive, count_hits


def trained_pass(quantiser, seed=0, scale=1.0):
    f = scale * torch.randn(2, 4, 4, 4, generator=torch.Generator().manual_seed(seed))
    return quantiser(f)


def test_report_of_use():
    assert codebook_use(torch.tensor([0, 0])) == (0.0, 0.0, 0)
    use = codebook_use(torch.tensor([5, 5, 0, 0]))
    assert use.used == 0.5 and abs(use.perplexity - 2) < 1e-9 and use.choices == 10
    assert codebook_use(torch.tensor([9, 1, 0])).perplexity < 1.5
    assert count_hits(torch.tensor([[0, 2], [2, 2]]), codebook=4).tolist() == [1, 0, 3, 0]


def test_dead_codes_move_to_residuals_and_living_ones_stay(generator):
    quantiser = MultiScaleQuantiser(PRESETS["micro"])
    with torch.no_grad():
        quantiser.embedding.weight[8:] += 100  # nobody's nearest
    before = quantiser.embedding.weight.detach().clone()
    taken = trained_pass(quantiser)
    moved = count_and_revive(quantiser, taken, generator=generator, hits_per_sweep=1)
    after = quantiser.embedding.weight.detach()
    hits = count_hits(taken.indices_P, codebook=16)
    dead = hits < 0.02 * hits.sum() / 16
    assert moved == int(dead.sum()) >= 8
    assert torch.equal(after[~dead], before[~dead])
    apart = (after[dead][:, None] - taken.residuals_PC[None]).norm(dim=2)
    assert (apart.amin(dim=1) == 0).all()
    assert int(quantiser.hits_V.sum()) == 0
    assert bool((trained_pass(quantiser).indices_P >= 8).any())  # and they are taken now


def test_counting_waits_for_its_time_and_repeats_with_the_generator():
    outcomes = []
    start = MultiScaleQuantiser(PRESETS["micro"])
    for _ in range(2):
        quantiser = deepcopy(start)
        with torch.no_grad():
            quantiser.embedding.weight[:] = torch.linspace(5, 9, 16)[:, None]
        for step in range(4):  # 60 choices a pass; 16 codes * 8 = 128 make a sweep
            generator = torch.Generator().manual_seed(step)
            taken = trained_pass(quantiser, seed=step)
            moved = count_and_revive(quantiser, taken, generator=generator, hits_per_sweep=8)
            assert (moved > 0) == (step == 2)
        outcomes.append(quantiser.embedding.weight.detach().clone())
    assert torch.equal(*outcomes)


def test_never_and_not_finite(generator):
    quantiser = MultiScaleQuantiser(PRESETS["micro"])
    for _ in range(3):
        taken = trained_pass(quantiser)
        assert count_and_revive(quantiser, taken, generator=generator, hits_per_sweep=0) == 0
    bad = taken._replace(residuals_PC=torch.full_like(taken.residuals_PC, torch.nan))
    count_and_revive(quantiser, bad, generator=generator, hits_per_sweep=1)
    assert torch.isfinite(quantiser.embedding.weight).all()
