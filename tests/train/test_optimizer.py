from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from nearfar.errors import ConfigError
from nearfar.train.config import TrainConfig
from nearfar.train.optimizer import learning_rate, make_optimizer, rate_shares, set_learning_rate

GOLDEN = Path(__file__).parents[1] / "golden" / "dar"


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


def test_poly_equals_the_released_rates_of_dar():
    golden = load_file(GOLDEN / "lr_schedule.safetensors")
    settings = {"lr.ipe10.ep25": (5e-4, 3e-5, 10, 25), "lr.ipe7.ep4": (1e-3, 1e-5, 7, 4)}
    for name, (high, low, per_epoch, epochs) in settings.items():
        config = TrainConfig(
            steps=per_epoch * epochs,
            warmup=per_epoch * (epochs // 2),
            learning_rate=high,
            final_fraction=low / high,
            schedule="poly",
        )
        rates = [learning_rate(step, config) for step in range(config.steps)]
        assert rates == pytest.approx(golden[name].tolist(), rel=1e-12)


def test_linear_rises_and_falls_between_the_same_ends():
    config = TrainConfig(
        steps=20, warmup=8, learning_rate=1.0, final_fraction=0.2, schedule="linear"
    )
    rates = [learning_rate(step, config) for step in range(20)]
    assert rates[7] == pytest.approx(1.0) and rates[3] == pytest.approx(0.6)
    assert rates[13] == pytest.approx(0.6) and rates[-1] == pytest.approx(0.2)


def test_every_group_gets_the_rate():
    optimizer = make_optimizer(nn.Linear(2, 2), TrainConfig(steps=1))
    set_learning_rate(optimizer, 0.25)
    assert [group["lr"] for group in optimizer.param_groups] == [0.25, 0.25]


class Trained(nn.Module):
    """A photo encoder of two blocks below a head, as DAR has it, at sizes of one."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Module()
        self.encoder.backbone = nn.Module()
        self.encoder.backbone.cls_token = nn.Parameter(torch.zeros(1))
        self.encoder.backbone.blocks = nn.ModuleList(nn.Linear(1, 1) for _ in range(2))
        self.encoder.backbone.norm = nn.LayerNorm(1)
        self.head = nn.Linear(1, 1)


def test_earlier_blocks_learn_slower():
    config = TrainConfig(
        steps=1, learning_rate=2.0, layer_decay=0.5, rates={"encoder.backbone.": 0.1, "head": 10.0}
    )
    names = [name for name, _ in Trained().named_parameters()]
    shares = rate_shares(names, config)
    assert {name: round(share, 6) for name, share in shares.items()} == {
        "encoder.backbone.cls_token": 0.025,
        "encoder.backbone.blocks.0.weight": 0.05,
        "encoder.backbone.blocks.0.bias": 0.05,
        "encoder.backbone.blocks.1.weight": 0.1,
        "encoder.backbone.blocks.1.bias": 0.1,
        "encoder.backbone.norm.weight": 0.1,
        "encoder.backbone.norm.bias": 0.1,
        "head.weight": 10.0,
        "head.bias": 10.0,
    }


def test_the_numbers_of_blocks_count_beyond_nine():
    names = [f"network.encoder.backbone.blocks.{i}.mlp.0.weight" for i in range(12)]
    shares = rate_shares(names, TrainConfig(steps=1, layer_decay=0.5))
    assert [shares[name] for name in names] == [0.5 ** (11 - i) for i in range(12)]


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_a_smaller_share_is_a_smaller_step(optimizer):
    network = Trained()
    config = TrainConfig(
        steps=1, learning_rate=0.1, layer_decay=0.5, optimizer=optimizer, weight_decay=0.0
    )
    made = make_optimizer(network, config)
    set_learning_rate(made, 0.2)  # twice that of the recipe
    before = {name: p.detach().clone() for name, p in network.named_parameters()}
    for parameter in network.parameters():
        parameter.grad = torch.ones_like(parameter)
    made.step()
    moved = {
        name: float((p - before[name]).detach().abs()) for name, p in network.named_parameters()
    }
    first, second = (f"encoder.backbone.blocks.{i}.weight" for i in range(2))
    assert moved[first] == pytest.approx(0.5 * moved[second], rel=1e-3)
    assert moved["head.weight"] == pytest.approx(moved[second], rel=1e-3)
    assert moved["encoder.backbone.cls_token"] == pytest.approx(0.25 * 0.2, rel=1e-3)
    assert moved["head.bias"] == pytest.approx(0.2, rel=1e-3)


def test_shares_without_a_weight_are_refused():
    names = [name for name, _ in Trained().named_parameters()]
    with pytest.raises(ConfigError, match=r"train\.rates\.unet: no trained weight"):
        rate_shares(names, TrainConfig(steps=1, rates={"unet": 0.01}))
    with pytest.raises(ConfigError, match="frozen, or named differently"):
        rate_shares(names, TrainConfig(steps=1, layer_decay=0.9, decayed="photo."))
    for changes in ({"layer_decay": 1.5}, {"layer_decay": 0.0}, {"rates": {"head": -1.0}}):
        with pytest.raises(ConfigError, match=r"train\.(layer_decay|rates)"):
            TrainConfig(steps=1, **changes)
