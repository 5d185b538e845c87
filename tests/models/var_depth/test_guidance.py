import pytest
import torch

from nearfar.errors import ConfigError
from nearfar.models.var_depth.guidance import Guidance

COND, UNCOND = torch.tensor([[1.0, 2.0]]), torch.tensor([[0.0, 4.0]])


def test_weight_rises_over_scales_and_ends_at_off():
    guidance = Guidance(scale=3.0, on=1, off=4)
    assert [guidance.weight(k, count=5) for k in range(5)] == [0.0, 0.75, 1.5, 2.25, 0.0]
    found = guidance(COND, UNCOND, scale=2, count=5)
    torch.testing.assert_close(found, 2.5 * COND - 1.5 * UNCOND)
    assert torch.equal(guidance(COND, None, scale=0, count=5), COND)
    cold = Guidance(scale=3.0, off=4, temperature=0.5)
    torch.testing.assert_close(cold(COND, UNCOND, scale=4, count=5), 2 * COND)


def test_other_branch_runs_only_where_it_counts():
    guidance = Guidance(scale=1.0)
    runs = [guidance.runs_unconditional(k, count=10, is_causal=False) for k in range(10)]
    assert runs == [False] + [True] * 7 + [False] * 2
    assert guidance.runs_unconditional(0, count=10, is_causal=True)
    assert not Guidance().runs_unconditional(3, count=10, is_causal=True)


@pytest.mark.parametrize(
    "wrong", [{"scale": -1.0}, {"scale": float("nan")}, {"on": 3, "off": 2}, {"temperature": 0.0}]
)
def test_senseless_numbers_are_refused(wrong):
    with pytest.raises(ConfigError):
        Guidance(**wrong)
