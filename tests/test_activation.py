import math

import pytest
import torch

from tests.support.configurations import choices, config_of

X = torch.linspace(-3, 3, 25, dtype=torch.float64)
FORMULAS = {
    "relu": lambda x: max(x, 0.0),
    "leaky_relu": lambda x: x if x > 0 else 0.01 * x,
    "gelu": lambda x: x * 0.5 * (1 + math.erf(x / math.sqrt(2))),
    "silu": lambda x: x / (1 + math.exp(-x)),
    "elu": lambda x: x if x > 0 else math.exp(x) - 1,
    "tanh": math.tanh,
}


@pytest.mark.parametrize("activation", choices("activation"))
def test_an_activation_is_its_formula(activation):
    ours = config_of(f"activation={activation}").activation.build()
    expected = torch.tensor([FORMULAS[activation](x) for x in X.tolist()], dtype=torch.float64)
    torch.testing.assert_close(ours(X), expected)


@pytest.mark.parametrize(
    ("override", "x", "expected"),
    [
        ("activation=leaky_relu activation.negative_slope=0.2", -1.0, -0.2),
        ("activation=elu activation.alpha=2.0", -1.0, 2 * (math.exp(-1) - 1)),
        ("activation=gelu activation.approximate=tanh", 1.0, 0.8411919906082768),
    ],
)
def test_a_setting_reaches_the_activation(override, x, expected):
    ours = config_of(*override.split()).activation.build()
    torch.testing.assert_close(ours(torch.tensor(x, dtype=torch.float64)).item(), expected)
