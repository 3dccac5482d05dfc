"""Normalization of inputs, activations and norms against formulas and worked numbers."""

import pytest
import torch
from torch import nn

from dlcli.errors import ConfigError
from dlcli.nets.layers import ACTIVATIONS, Gated, Normalize, activation, norm
from dlcli.nets.recurrent import Recurrent

X = torch.linspace(-3, 3, 61).view(1, -1)

FORMULAS = {
    "identity": lambda x: x,
    "sign": lambda x: torch.where(x > 0, 1.0, torch.where(x < 0, -1.0, 0.0)),
    "step": lambda x: (x >= 0).float(),
    "sigmoid": lambda x: 1 / (1 + (-x).exp()),
    "tanh": lambda x: (x.exp() - (-x).exp()) / (x.exp() + (-x).exp()),
    "relu": lambda x: x.clamp(min=0),
    "leaky_relu": lambda x: torch.where(x < 0, 0.2 * x, x),
    "prelu": lambda x: torch.where(x < 0, 0.25 * x, x),
    "silu": lambda x: x / (1 + (-x).exp()),
    "softplus": lambda x: (1 + x.exp()).log(),
    "gelu": lambda x: x * 0.5 * (1 + (x / 2**0.5).erf()),
    "elu": lambda x: torch.where(x < 0, x.exp() - 1, x),
    "softmax": lambda x: x.exp() / x.exp().sum(1, keepdim=True),
}


@pytest.mark.parametrize("name", FORMULAS)
def test_an_activation_follows_its_formula(name):
    torch.testing.assert_close(activation(name)(X), FORMULAS[name](X))


def test_every_activation_but_the_learned_gate_has_a_formula_here():
    assert set(ACTIVATIONS) - set(FORMULAS) == {"gated"}


def test_the_step_is_one_at_zero_and_gives_no_gradient():
    x = torch.tensor([-1.0, 0.0, 1.0], requires_grad=True)
    assert activation("step")(x).tolist() == [0, 1, 1]
    (activation("sign")(x).sum() + 0 * x.sum()).backward()
    assert x.grad.tolist() == [0, 0, 0]


def test_derivatives_of_the_sigmoid_and_of_relu_at_zero():
    x = torch.tensor([-2.0, 0.0, 1.5], requires_grad=True)
    y = activation("sigmoid")(x)
    (slope,) = torch.autograd.grad(y.sum(), x)
    torch.testing.assert_close(slope, y * (1 - y))
    (slope,) = torch.autograd.grad(activation("relu")(x).sum(), x)
    assert slope.tolist() == [0, 0, 1]


def test_a_gate_with_the_identity_for_weights_is_silu():
    gate = Gated(width=4)
    with torch.no_grad():
        gate.gate.weight.copy_(torch.eye(4))
        gate.gate.bias.zero_()
    for x in (torch.randn(3, 4), torch.randn(3, 4, 5, 5)):
        torch.testing.assert_close(gate(x), torch.nn.functional.silu(x))


def test_a_misspelt_name_gets_the_nearest_one():
    with pytest.raises(ConfigError, match=r"unknown activation 'rleu': did you mean 'relu'\?"):
        activation("rleu")
    with pytest.raises(ConfigError, match="unknown norm 'bach': did you mean 'batch'"):
        norm("bach", 3, 1)


def test_normalize_works_by_channel_and_by_feature():
    layer = Normalize(mean=[1.0, 2.0], std=[2.0, 0.0])
    table, pictures = torch.tensor([[3.0, 5.0]]), torch.tensor([3.0, 5.0]).view(1, 2, 1, 1).expand(1, 2, 4, 4)
    assert layer(table).tolist() == [[1.0, 3.0]]  # a feature that never varies is only shifted
    assert layer(pictures)[0, :, 2, 3].tolist() == [1.0, 3.0]
    assert torch.equal(layer.undo(layer(table)), table)
    assert torch.equal(layer.undo(layer(pictures)), pictures)
    assert set(layer.state_dict()) == {"mean", "std"}


def test_normalize_without_numbers_is_the_identity():
    x = torch.randn(2, 3)
    assert Normalize()(x) is x
    assert Normalize().undo(x) is x
    with pytest.raises(ConfigError, match="do not match"):
        Normalize(mean=[0.0, 0.0], std=[1.0])


def test_batch_norm_divides_by_the_biased_deviation():
    out = norm("batch", 1, 1)(torch.tensor([[1.0], [2.0], [3.0], [4.0]]))
    expected = torch.tensor([[-1.34164], [-0.44721], [0.44721], [1.34164]])
    torch.testing.assert_close(out, expected, atol=1e-4, rtol=0)


@pytest.mark.parametrize("shape", [(5, 6), (5, 6, 3, 3)])
def test_layer_norm_standardizes_each_example(shape):
    out = norm("layer", 6, dims=1 if len(shape) == 2 else 2)(3 + 2 * torch.randn(shape)).flatten(1)
    torch.testing.assert_close(out.mean(1), torch.zeros(5), atol=1e-5, rtol=0)
    torch.testing.assert_close(out.var(1, correction=0), torch.ones(5), atol=1e-3, rtol=0)


def test_dropout_keeps_the_expectation():
    x = torch.full((200_000,), 3.0)
    drop = nn.Dropout(0.25)
    assert drop(x).mean().item() == pytest.approx(3.0, abs=0.02)
    assert drop(x).max().item() == pytest.approx(3.0 / 0.75)
    assert torch.equal(drop.eval()(x), x)


def test_a_recurrent_kernel_computes_in_single_precision_under_autocast():
    torch.manual_seed(0)
    net = Recurrent(cell="lstm", inputs=3, width=5, depth=2)
    x, lengths = torch.randn(4, 6, 3), torch.tensor([6, 2, 3, 1])
    plain, (h, c) = net(x, None, lengths)
    with torch.autocast("cpu", torch.bfloat16):
        found, (half, _) = net(x, None, lengths)
        again, _ = net(x.bfloat16(), (h.bfloat16(), c.bfloat16()))
    assert found.equal(plain)
    assert half.equal(h)
    assert again.dtype == torch.float32
