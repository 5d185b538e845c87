"""The straight path and its inversions equal the golden schedule."""

from pathlib import Path

import torch
from safetensors.torch import load_file

from nearfar.sampling.flow_matching import (
    add_noise,
    clean_from_velocity,
    noise_from_velocity,
    velocity_target,
)

GOLDEN = load_file(Path(__file__).parents[1] / "golden" / "ppd" / "schedule.safetensors")


def close(actual, expected):
    torch.testing.assert_close(actual, expected, atol=1e-6, rtol=0)


def test_path_and_target_equal_golden():
    close(add_noise(GOLDEN["x_0"], GOLDEN["x_T"], timestep_B=GOLDEN["t"]), GOLDEN["x_t"])
    close(velocity_target(GOLDEN["x_0"], GOLDEN["x_T"]), GOLDEN["target_v"])


def test_both_ends_equal_golden():
    x, velocity, t = GOLDEN["x_t"], GOLDEN["pred_v"], GOLDEN["t"]
    close(clean_from_velocity(x, velocity, timestep_B=t), GOLDEN["pred_x_0"])
    close(noise_from_velocity(x, velocity, timestep_B=t), GOLDEN["pred_x_T"])
