"""Without the mask earlier tokens see later ones; with it they do not."""

import torch

from nearfar.models.dar.recomputed_run import RecomputedRun
from nearfar.models.dar.transformer import Transformer

SIZES = [(2, 2), (2, 3)]


def test_last_step_of_all_tokens():
    torch.manual_seed(0)
    transformer = Transformer(layers=3, width=8, heads=2, token_width=6, memory_width=5)
    memory, first, second = torch.randn(1, 7, 5), torch.randn(1, 4, 6), torch.randn(1, 6, 6)
    outs = {}
    for is_masked in (False, True):
        run = RecomputedRun(transformer, memory, sizes_hw=SIZES, is_masked=is_masked)
        outs[is_masked] = (run.step(first), run.step(second))
        assert outs[is_masked][1].shape == (1, 6, 6) and len(run.inputs) == 2
    assert torch.equal(outs[False][0], outs[True][0])  # one step: the mask allows everything
    assert (outs[False][1] - outs[True][1]).abs().max() > 1e-4
