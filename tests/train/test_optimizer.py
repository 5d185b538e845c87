import pytest
import torch
from torch import nn

from sonde.train.config import TrainConfig
from sonde.train.optimizer import learning_rate, make_optimizer, set_learning_rate


def test_only_matrices_decay_and_frozen_weights_stay_out():
    network = nn.Sequential(nn.Linear(3, 4), nn.LayerNorm(4), nn.Conv2d(1, 2, 3))
    network[2].requires_grad_(False)
    optimizer = make_optimizer(network, TrainConfig(steps=1, weight_decay=0.3))
    decayed, plain = optimizer.param_groups
    assert [p.ndim for p in decayed["params"]] == [2] and decayed["weight_decay"] == 0.3
    assert [p.ndim for p in plain["params"]] == [1, 1, 1] and plain["weight_decay"] == 0


def test_first_step_is_adamw_by_hand():
    network = nn.Linear(2, 1, bias=False)
    before = network.weight.detach().clone()
    config = TrainConfig(steps=1, learning_rate=0.1, weight_decay=0.5)
    optimizer = make_optimizer(network, config)
    network.weight.grad = torch.tensor([[3.0, -2.0]])
    optimizer.step()
    expected = before * (1 - 0.1 * 0.5) - 0.1 * torch.tensor([[1.0, -1.0]])
    torch.testing.assert_close(network.weight.detach(), expected, atol=1e-6, rtol=0)


def test_schedule():
    config = TrainConfig(
        steps=110, warmup=10, learning_rate=2.0, schedule="cosine", final_fraction=0.1
    )
    rates = [learning_rate(step, config) for step in range(111)]
    assert rates[0] == pytest.approx(2 / 11) and rates[10] == pytest.approx(2.0)
    assert rates[:11] == sorted(rates[:11]) and rates[10:] == sorted(rates[10:], reverse=True)
    assert rates[60] == pytest.approx(2.0 * 0.55) and rates[110] == pytest.approx(0.2)
    constant = TrainConfig(steps=9, warmup=0, learning_rate=2.0, schedule="constant")
    assert [learning_rate(step, constant) for step in (0, 8)] == [2.0, 2.0]


def test_every_group_gets_the_rate():
    optimizer = make_optimizer(nn.Linear(2, 2), TrainConfig(steps=1))
    set_learning_rate(optimizer, 0.25)
    assert [group["lr"] for group in optimizer.param_groups] == [0.25, 0.25]
