"""One Euler step equals the golden rows; the last one lands on the clean end."""

from pathlib import Path

import torch
from safetensors.torch import load_file

from nearfar.sampling.euler import euler_step

GOLDEN = load_file(Path(__file__).parents[1] / "golden" / "ppd" / "schedule.safetensors")


def test_steps_equal_golden():
    for row, (t, then) in enumerate(zip(GOLDEN["euler.t"], GOLDEN["euler.next_t"])):
        x = euler_step(
            GOLDEN["x_t"][row : row + 1],
            GOLDEN["pred_v"][row : row + 1],
            t=t.item() / 1000,
            t_next=max(then.item(), 0) / 1000,
        )
        torch.testing.assert_close(x[0], GOLDEN["euler.x_s"][row], atol=1e-6, rtol=0)
