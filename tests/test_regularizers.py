"""What keeps critics smooth: closed forms of linear and quadratic critics, gradients of gradients, precision."""

import pytest
import torch
from torch import nn

from dlcli.regularizers import R1, Clipping, Dragan, Free, GradientPenalty, slopes

X, Y = torch.rand(64, 3, 4, 4), torch.rand(64, 3, 4, 4)


def linear(length: float):
    """Return a critic whose slope has the same length everywhere, and its weights."""
    w = nn.functional.normalize(torch.randn(48), dim=0).mul_(length).requires_grad_()
    return (lambda x: x.flatten(1) @ w), w


@pytest.mark.parametrize("length", [0.5, 1.0, 3.0])
def test_a_linear_critic_has_one_slope(length):
    critic, w = linear(length)
    for penalty in (GradientPenalty(weight=10), Dragan(weight=10)):
        value = penalty(critic, X, Y)
        assert value.item() == pytest.approx(10 * (length - 1) ** 2, abs=1e-4)
        (pull,) = torch.autograd.grad(value, w)
        assert torch.allclose(
            pull, 20 * (length - 1) * w.detach() / length, atol=1e-4
        )  # d(|w| - 1)^2 = 2(|w| - 1) w/|w|
    value = R1(weight=10)(critic, X, Y)
    assert value.item() == pytest.approx(5 * length**2, rel=1e-4)
    assert torch.allclose(torch.autograd.grad(value, w)[0], 10 * w.detach(), atol=1e-4)


def bowl(x):
    """Return half the squared length of each example: its slope is the example."""
    return 0.5 * x.flatten(1).square().sum(1)


def test_where_each_takes_its_slopes():
    ones, zeros = torch.ones(4000, 1), torch.zeros(4000, 1)
    # between 0 and 1, uniformly: the mean of (u - 1)^2 is a third
    assert GradientPenalty(weight=1)(bowl, ones, zeros).item() == pytest.approx(1 / 3, abs=0.02)
    assert R1(weight=1)(bowl, 2 * ones, zeros).item() == pytest.approx(2)  # at the real examples
    x = torch.cat([ones, -ones])  # |u| around 1 with a small spread c: (|u| - 1)^2 is c^2
    assert Dragan(weight=1, noise=0.1)(bowl, x, x).item() == pytest.approx(0.01, rel=0.1)
    assert Dragan(weight=1, noise=0.0)(bowl, x, x).item() == 0


def test_every_pair_has_a_share_of_its_own():
    seen = []
    GradientPenalty()(lambda x: seen.append(x.detach()) or bowl(x), torch.ones(6, 1, 2, 2), torch.zeros(6, 1, 2, 2))
    shares = seen[0].flatten(1)
    assert (shares == shares[:, :1]).all()  # one share for all pixels of a picture
    assert len(shares[:, 0].unique()) == 6


def test_slopes_are_single_precision_under_autocast():
    critic = nn.Sequential(nn.Flatten(), nn.Linear(48, 8), nn.Tanh(), nn.Linear(8, 1))
    exact = slopes(critic, X)
    with torch.autocast("cpu", torch.bfloat16):
        assert critic(X).dtype == torch.bfloat16
        found = slopes(critic, X.bfloat16().float())
        whole = GradientPenalty()(critic, X, Y.bfloat16())
    assert found.dtype == whole.dtype == torch.float32
    assert torch.allclose(found, exact, atol=1e-2)
    whole.backward()
    assert all(p.grad.isfinite().all() for p in critic.parameters() if p.grad is not None)


def test_a_flat_critic_has_a_gradient_nonetheless():
    layer = nn.Linear(48, 1)
    nn.init.zeros_(layer.weight)
    value = GradientPenalty(weight=1)(lambda x: layer(x.flatten(1))[:, 0], X, Y)
    value.backward()
    assert value.item() == 1
    assert layer.weight.grad.isfinite().all()


def test_clipping_cuts_after_the_step_and_costs_nothing():
    layer = nn.Linear(48, 8)
    before = layer.weight.detach().clone()
    assert Clipping(limit=0.05)(bowl, X, Y).item() == Free()(bowl, X, Y).item() == 0
    Free().after(layer.parameters())
    assert layer.weight.equal(before)
    Clipping(limit=0.05).after(layer.parameters())
    assert layer.weight.equal(before.clamp(-0.05, 0.05))
    assert layer.bias.abs().max() <= 0.05
    layer.bias.requires_grad_(False).fill_(3)  # frozen
    Clipping(limit=0.05).after(layer.parameters())
    assert layer.bias.eq(3).all()
