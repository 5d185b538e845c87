from pathlib import Path

import torch
from safetensors.torch import load_file

from nearfar.geometry.gradient_loss import gradient_loss

GOLDEN = Path(__file__).parents[1] / "golden/ppd/training.safetensors"


def test_loss_equals_golden():
    io = load_file(GOLDEN)
    loss = gradient_loss(io["grad.pred"], io["grad.target"], io["grad.mask"].bool())
    torch.testing.assert_close(loss, io["grad.loss"], atol=1e-6, rtol=1e-6)


def test_unusable_pixels_and_constant_errors_cost_nothing():
    usable = torch.ones(1, 16, 16, dtype=torch.bool)
    usable[:, 5:9, 3:12] = False
    wild = torch.rand(usable.shape, generator=torch.Generator().manual_seed(0))
    guess = torch.where(usable, 0.5, wild)
    assert gradient_loss(guess, torch.zeros_like(guess), usable) == 0
    assert gradient_loss(guess, torch.zeros_like(guess), torch.zeros_like(usable)) == 0
