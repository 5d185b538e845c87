from copy import deepcopy

import torch

from nearfar.tokenizers.presets import PRESETS
from nearfar.tokenizers.quantizer import MultiScaleQuantizer
from nearfar.tokenizers.revival import codebook_use, count_and_revive, count_hits


def trained_pass(quantizer, seed=0, scale=1.0):
    f = scale * torch.randn(2, 4, 4, 4, generator=torch.Generator().manual_seed(seed))
    return quantizer(f)


def test_report_of_use():
    assert codebook_use(torch.tensor([0, 0])) == (0.0, 0.0, 0)
    use = codebook_use(torch.tensor([5, 5, 0, 0]))
    assert use.used == 0.5 and abs(use.perplexity - 2) < 1e-9 and use.choices == 10
    assert codebook_use(torch.tensor([9, 1, 0])).perplexity < 1.5
    assert count_hits(torch.tensor([[0, 2], [2, 2]]), codebook=4).tolist() == [1, 0, 3, 0]


def test_dead_codes_move_to_residuals_and_living_ones_stay(generator):
    quantizer = MultiScaleQuantizer(PRESETS["micro"])
    with torch.no_grad():
        quantizer.embedding.weight[8:] += 100  # nobody's nearest
    before = quantizer.embedding.weight.detach().clone()
    taken = trained_pass(quantizer)
    moved = count_and_revive(quantizer, taken, generator=generator, hits_per_sweep=1)
    after = quantizer.embedding.weight.detach()
    hits = count_hits(taken.indices_P, codebook=16)
    dead = hits < 0.02 * hits.sum() / 16
    assert moved == int(dead.sum()) >= 8
    assert torch.equal(after[~dead], before[~dead])
    apart = (after[dead][:, None] - taken.residuals_PC[None]).norm(dim=2)
    assert (apart.amin(dim=1) == 0).all()
    assert int(quantizer.hits_V.sum()) == 0
    assert bool((trained_pass(quantizer).indices_P >= 8).any())  # and they are taken now


def test_counting_waits_for_its_time_and_repeats_with_the_generator():
    outcomes = []
    start = MultiScaleQuantizer(PRESETS["micro"])
    for _ in range(2):
        quantizer = deepcopy(start)
        with torch.no_grad():
            quantizer.embedding.weight[:] = torch.linspace(5, 9, 16)[:, None]
        for step in range(4):  # 60 choices a pass; 16 codes * 8 = 128 make a sweep
            generator = torch.Generator().manual_seed(step)
            taken = trained_pass(quantizer, seed=step)
            moved = count_and_revive(quantizer, taken, generator=generator, hits_per_sweep=8)
            assert (moved > 0) == (step == 2)
        outcomes.append(quantizer.embedding.weight.detach().clone())
    assert torch.equal(*outcomes)


def test_never_and_not_finite(generator):
    quantizer = MultiScaleQuantizer(PRESETS["micro"])
    for _ in range(3):
        taken = trained_pass(quantizer)
        assert count_and_revive(quantizer, taken, generator=generator, hits_per_sweep=0) == 0
    bad = taken._replace(residuals_PC=torch.full_like(taken.residuals_PC, torch.nan))
    count_and_revive(quantizer, bad, generator=generator, hits_per_sweep=1)
    assert torch.isfinite(quantizer.embedding.weight).all()
