"""Likelihoods and divergences against torch.distributions and worked numbers."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch.distributions import Bernoulli, Normal, kl_divergence

from dlcli.errors import ConfigError
from dlcli.losses import gaussian_kl, gaussian_log_density, likelihood, log_mean_exp


def test_gaussian_kl_of_a_worked_example():
    mean, std = torch.tensor([[1.0, 0.0]]), torch.tensor([[1.0, 2.0]])
    found = gaussian_kl(mean, 2 * std.log())
    assert found.item() == pytest.approx(1.30685, abs=1e-5)
    expected = kl_divergence(Normal(mean, std), Normal(torch.zeros(2), torch.ones(2))).sum(1)
    torch.testing.assert_close(found, expected)
    assert gaussian_kl(torch.zeros(3, 4), torch.zeros(3, 4)).tolist() == [0, 0, 0]


def test_gaussian_kl_equals_the_mean_difference_of_log_densities():
    mean, logvar = torch.tensor([0.5, -1.0, 0.2]), torch.tensor([-1.0, 0.3, 0.0])
    z = mean + (0.5 * logvar).exp() * torch.randn(200_000, 3)
    drawn = (gaussian_log_density(z, mean, logvar) - gaussian_log_density(z)).mean()
    assert drawn.item() == pytest.approx(gaussian_kl(mean, logvar).item(), abs=0.02)


def test_likelihoods_agree_with_torch_distributions():
    output, x = torch.randn(4, 1, 3, 3), torch.rand(4, 1, 3, 3)
    expected = Normal(output, 0.3).log_prob(x).flatten(1).sum(1)
    torch.testing.assert_close(likelihood("gaussian", 0.3)(output, x), expected)
    expected = Bernoulli(logits=output).log_prob(x.round()).flatten(1).sum(1)
    torch.testing.assert_close(likelihood("bernoulli")(output, x.round()), expected)


def test_an_unknown_likelihood_names_the_known_ones():
    with pytest.raises(ConfigError, match=r"unknown likelihood 'poisson': choose bernoulli .* or gaussian"):
        likelihood("poisson")


def test_log_mean_exp_survives_what_exp_does_not():
    assert log_mean_exp(torch.tensor([-1000.0, -1000.0])).item() == pytest.approx(-1000.0)
    assert log_mean_exp(torch.tensor([1.0, 3.0]).log()).item() == pytest.approx(math.log(2))


def test_cross_entropy_of_a_worked_example_in_bits_and_nats():
    p = torch.tensor([[0.01, 0.97, 0.02]])
    nats = F.cross_entropy(p.log(), torch.tensor([0])).item()
    assert nats == pytest.approx(4.605, abs=1e-3)
    assert nats / math.log(2) == pytest.approx(6.6439, abs=1e-4)


def test_delta_rule_of_one_sigmoid_unit():
    w, x, t = torch.zeros(2, requires_grad=True), torch.tensor([1.0, 2.0]), 1.0
    y = (w @ x).sigmoid()
    ((y - t) ** 2).backward()
    torch.testing.assert_close(w.grad, 2 * x * (y - t).detach() * (y * (1 - y)).detach())
    assert w.grad.tolist() == [-0.25, -0.5]
