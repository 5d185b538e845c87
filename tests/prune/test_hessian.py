"""Timestep weights and Hessians equal the golden ones; edges of the formulas."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from nearfar.errors import ConfigError
from nearfar.prune.hessian import HessianAccumulator, timestep_weights

GOLDEN = load_file(Path(__file__).parents[1] / "golden" / "prune" / "obs_hessian.safetensors")


@pytest.mark.parametrize("name", [name for name in GOLDEN if name.startswith("alpha.")])
def test_timestep_weights_equal_golden(name):
    _, strategy, steps = name.split(".")
    found = timestep_weights(strategy, int(steps[1:]))
    assert found == pytest.approx(GOLDEN[name].tolist(), rel=1e-9)


def test_one_step_counts_one():
    for strategy in ("log_decrease", "linear_increase", "uniform"):
        assert timestep_weights(strategy, 1) == [1.0]


@pytest.mark.parametrize(("strategy", "steps"), [("cosine", 4), ("uniform", 0)])
def test_impossible_weights_are_refused(strategy, steps):
    with pytest.raises(ConfigError, match="timestep weights"):
        timestep_weights(strategy, steps)


def test_hessian_equals_golden():
    found = HessianAccumulator(32)
    for batch in (0, 1):
        for step, weight in enumerate(GOLDEN["hess.alpha"].tolist()):
            found.add(GOLDEN[f"hess.x.{batch}.{step}"], weight=weight)
            if (batch, step) == (0, 1):
                torch.testing.assert_close(
                    found.hessian, GOLDEN["hess.H_after_2"], rtol=1e-5, atol=1e-5
                )
    torch.testing.assert_close(found.hessian, GOLDEN["hess.H_final"], rtol=1e-5, atol=1e-5)


def test_rows_alone_are_a_batch_of_one():
    x = torch.randn(7, 4, generator=torch.Generator().manual_seed(0))
    found = HessianAccumulator(4)
    found.add(x)
    torch.testing.assert_close(found.hessian, 2 * x.T @ x)
