"""Each activation is its formula, and its settings say how many channels leave."""

from __future__ import annotations

import math

import pytest
import torch
from pydantic import TypeAdapter

from vctrain.config.components.activations import Activation
from vctrain.models.activations import SplitReLU, build_activation

X = torch.linspace(-3, 3, 25).view(1, 1, 1, 5, 5)


def activation(settings: object) -> torch.nn.Module:
    return build_activation(TypeAdapter(Activation).validate_python(settings))


FORMULAS = {
    "none": lambda x: x,
    "relu": lambda x: max(x, 0.0),
    "leakyrelu": lambda x: x if x > 0 else 0.01 * x,
    "gelu": lambda x: x * 0.5 * (1 + math.erf(x / math.sqrt(2))),
    "sigmoid": lambda x: 1 / (1 + math.exp(-x)),
    "tanh": math.tanh,
    "silu": lambda x: x / (1 + math.exp(-x)),
    "mish": lambda x: x * math.tanh(math.log1p(math.exp(x))),
    "softplus": lambda x: math.log1p(math.exp(x)),
    "square": lambda x: x * x,
    "bsoftplus": lambda x: math.log1p(math.exp(x)),
}


@pytest.mark.parametrize("name", FORMULAS)
def test_activations_are_their_formulas(name):
    expected = torch.tensor([FORMULAS[name](x) for x in X.flatten().tolist()]).view_as(X)
    assert torch.allclose(activation(name)(X), expected, atol=1e-5)
    assert TypeAdapter(Activation).validate_python(name).widens == 1


@pytest.mark.parametrize("beta", [0.2, 1.0, 5.0])
def test_the_sharpness_of_the_bounded_softplus_starts_as_asked_and_stays_bounded(beta):
    built = activation({"type": "bsoftplus", "init_beta": beta})
    expected = torch.log1p(torch.exp(beta * X)) / beta
    assert torch.allclose(built(X), expected, atol=1e-5)
    with torch.no_grad():
        built.sharpness.fill_(100.0)
    assert torch.allclose(built(X), torch.nn.functional.softplus(10 * X) / 10, atol=1e-5)


def test_splitrelu_keeps_both_signs():
    x = torch.randn(1, 2, 1, 3, 3)
    on, off = SplitReLU()(x).chunk(2, dim=1)
    assert torch.equal(on - off, x)
    assert float((on * off).abs().max()) == 0.0
    assert TypeAdapter(Activation).validate_python("splitrelu").widens == 2


def test_the_gain_of_splitrelu_learns_only_if_asked():
    assert list(activation("splitrelu").parameters()) == []
    built = activation({"type": "splitrelu", "trainable_gain": True})
    with torch.no_grad():
        built.on_gain.fill_(-2.0)
    y = built(X)
    assert torch.allclose(y[:, :1], 2 * X.clamp_min(0))
    assert torch.allclose(y[:, 1:], (-X).clamp_min(0))
    y.sum().backward()
    assert float(built.on_gain.grad) < 0
