from copy import deepcopy

import pytest
import torch
from torch import nn

from nearfar import settings
from nearfar.train.config import TrainConfig
from nearfar.train.muon import MuonAdamW, orthogonalized
from nearfar.train.optimizer import learning_rate, make_optimizer, set_learning_rate


def random_matrices(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(3))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("shape", [(2, 24, 24), (3, 16, 64), (1, 64, 16)])
def test_singular_values_become_nearly_equal_and_directions_stay(shape, dtype):
    given = random_matrices(*shape)
    found = orthogonalized(given, dtype=dtype)
    assert found.dtype == torch.float32
    for before, after in zip(given, found):
        u, singular, vt = torch.linalg.svd(before, full_matrices=False)
        strengths = torch.diagonal(u.T @ after @ vt.T)
        assert strengths[singular > 0.1 * singular[0]].min() > 0.6
        assert strengths.min() > 0 and strengths.max() < 1.3
        assert torch.linalg.svdvals(after).max() < 1.3
        assert torch.dist(u @ torch.diag(strengths) @ vt, after) < 0.15 * after.norm()


@pytest.mark.parametrize(("dtype", "close"), [(torch.float32, 0.02), (torch.bfloat16, 0.05)])
def test_matrices_are_orthogonalized_one_by_one_whatever_their_size(dtype, close):
    given = random_matrices(3, 8, 12)
    scaled = given * torch.tensor([1.0, 1e-6, 1e3])[:, None, None]
    found, expected = (orthogonalized(each, dtype=dtype) for each in (scaled, given))
    assert torch.allclose(found, expected, atol=close)


@pytest.mark.parametrize(("is_fast", "dtype"), [(True, torch.bfloat16), (False, torch.float32)])
def test_the_iteration_runs_in_what_the_processor_is_fast_at(monkeypatch, is_fast, dtype):
    monkeypatch.setattr(settings, "has_fast_bf16", lambda: is_fast)
    network, gradient = nn.Linear(6, 4, bias=False), random_matrices(4, 6)
    nn.init.zeros_(network.weight)
    config = TrainConfig(steps=1, optimizer="muon", muon_rate=1.0, weight_decay=0.0)
    optimizer = make_optimizer(network, config)
    network.weight.grad = gradient.clone()
    optimizer.step()
    momentum = gradient.lerp(gradient * 0.05, 0.95)  # the first step's
    assert torch.allclose(-network.weight, orthogonalized(momentum[None], dtype=dtype)[0])
    others = {torch.bfloat16: torch.float32, torch.float32: torch.bfloat16}
    assert not torch.allclose(
        -network.weight, orthogonalized(momentum[None], dtype=others[dtype])[0], atol=1e-5
    )


def test_the_other_group_is_torch_adamw():
    start, gradients = random_matrices(5, 7), random_matrices(4, 5, 7)
    ours, theirs = nn.Parameter(start.clone()), nn.Parameter(start.clone())
    settings = {"betas": (0.9, 0.98), "weight_decay": 0.1}
    mine = MuonAdamW([{"params": [ours], **settings}], lr=0.01)
    reference = torch.optim.AdamW([theirs], lr=0.01, **settings)
    for gradient in gradients:
        ours.grad, theirs.grad = gradient.clone(), gradient.clone()
        mine.step()
        reference.step()
    assert torch.allclose(ours, theirs, atol=1e-7)


def test_a_step_moves_a_convolution_by_the_rate_in_every_direction():
    conv = nn.Parameter(torch.zeros(8, 4, 3, 3))
    conv.grad = random_matrices(8, 4, 3, 3)
    MuonAdamW([{"params": [conv], "orthogonal": True}], lr=0.5).step()
    strengths = torch.linalg.svdvals(conv.detach().reshape(8, -1))
    assert strengths.min() > 0.3 * 0.5 and strengths.max() < 1.3 * 0.5
    assert (conv.detach() * conv.grad).sum() < 0


def test_decay_is_decoupled():
    weight = nn.Parameter(torch.ones(4, 4))
    weight.grad = torch.zeros(4, 4)
    MuonAdamW([{"params": [weight], "orthogonal": True, "weight_decay": 0.1}], lr=0.5).step()
    assert torch.allclose(weight, torch.full((4, 4), 0.95))


def test_recipe_chooses_who_is_orthogonal_and_rates_keep_their_ratio():
    network = nn.ModuleDict(
        {"stem": nn.Linear(3, 4), "body": nn.Conv2d(4, 4, 3), "head": nn.Linear(4, 2)}
    )
    config = TrainConfig(
        steps=10,
        optimizer="muon",
        learning_rate=1e-3,
        muon_rate=0.02,
        adamw_names=("stem", "head"),
        warmup=0,
    )
    optimizer = make_optimizer(network, config)
    kinds = {
        id(p): group["orthogonal"] for group in optimizer.param_groups for p in group["params"]
    }
    assert [kinds[id(p)] for p in network["body"].parameters()] == [True, False]
    assert not any(kinds[id(p)] for name in ("stem", "head") for p in network[name].parameters())
    set_learning_rate(optimizer, learning_rate(0, config) / 2)
    assert {group["lr"] for group in optimizer.param_groups} == {5e-4, 0.01}


def test_state_survives_saving():
    weight = nn.Parameter(random_matrices(4, 4))
    weight.grad = random_matrices(4, 4)
    first = MuonAdamW([{"params": [weight], "orthogonal": True}], lr=0.1)
    first.step()
    twin = nn.Parameter(weight.detach().clone())
    second = MuonAdamW([{"params": [twin], "orthogonal": True}], lr=0.1)
    second.load_state_dict(deepcopy(first.state_dict()))
    twin.grad = weight.grad.clone()
    first.step()
    second.step()
    assert torch.equal(weight, twin)
