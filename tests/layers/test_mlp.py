"""The two activations are what their names say."""

import pytest
import torch
from torch.nn import functional as F

from nearfar.layers.mlp import MLP


@pytest.mark.parametrize(
    ("name", "formula"),
    [
        ("silu", F.silu),
        ("gelu_tanh", lambda x: 0.5 * x * (1 + (0.7978845608 * (x + 0.044715 * x**3)).tanh())),
    ],
)
def test_formula(name, formula):
    layer = MLP(8, 32, activation=name)
    x = torch.randn(2, 5, 8, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(layer(x), layer.fc2(formula(layer.fc1(x))), atol=1e-6, rtol=1e-5)
