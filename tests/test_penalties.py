"""Penalties by a second route: worked numbers, torch's KL, the whole Jacobian by autograd."""

import pytest
import torch
from torch.distributions import Bernoulli, kl_divergence

from dlcli.errors import ConfigError
from dlcli.nets.autoencoder import Encoder
from dlcli.penalties import L1, Contraction, Free, Sparsity, estimate


def jacobian_norm(encoder, x):
    """Return the squared Frobenius norm of the Jacobian of each example, entry by entry."""
    whole = torch.func.vmap(torch.func.jacrev(lambda one: encoder(one[None])[0]))(x)
    return whole.flatten(1).square().sum(1)


def test_worked_numbers():
    h = torch.tensor([[1.0, -2.0, 0.0], [0.5, 0.0, 0.0]])
    assert torch.equal(L1(weight=2.0)(None, h, h), torch.tensor([6.0, 1.0]))
    assert torch.equal(Free()(None, h, h), torch.zeros(2))


def test_sparsity_is_the_divergence_between_coins():
    h = torch.rand(50, 7)
    coins = kl_divergence(Bernoulli(torch.tensor(0.05)), Bernoulli(h.mean(0)))
    torch.testing.assert_close(Sparsity(weight=3.0, target=0.05)(None, h, h), (3 * coins.sum()).expand(50))
    exact = Sparsity(target=0.5)(None, h, torch.full((4, 3), 0.5))
    torch.testing.assert_close(exact, torch.zeros(4))


def test_sparsity_refuses_activations_that_are_no_probabilities():
    with pytest.raises(ConfigError, match=r"model\.encoder\.code=sigmoid"):
        Sparsity()(None, torch.zeros(2, 2), torch.tensor([[1.0, 3.0], [0.0, 3.0]]))


@pytest.mark.parametrize("kind", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("penalty", [L1(), Sparsity(), Contraction()])
def test_half_precision_is_charged_in_single_precision(penalty, kind):
    """A share of 1 - 1e-6 is 1 in eight bits, and log 0 infinite."""
    encoder = Encoder(inputs=30, widths=[], latent=9, code="sigmoid")
    x, h = torch.rand(6, 30), torch.rand(6, 9).to(kind)
    h[:, 0], h[:, 1] = 0, 1
    with torch.autocast("cpu", kind):
        found = penalty(encoder, x, h)
    assert found.isfinite().all()
    assert found.equal(penalty(encoder, x, h.float()))


@pytest.mark.parametrize("std", [None, [0.3]])
def test_the_closed_form_of_one_sigmoid_layer_is_the_jacobian(std):
    encoder = Encoder(inputs=30, widths=[], latent=9, code="sigmoid", mean=std and [0.1], std=std)
    x = torch.rand(6, 1, 5, 6)
    found = Contraction(weight=0.5)(encoder, x, encoder(x))
    torch.testing.assert_close(found, 0.5 * jacobian_norm(encoder, x))
    (grad,) = torch.autograd.grad(found.sum(), encoder.layers[1].weight)
    (right,) = torch.autograd.grad(0.5 * jacobian_norm(encoder, x).sum(), encoder.layers[1].weight)
    torch.testing.assert_close(grad, right)


def test_other_encoders_get_an_estimate_without_bias():
    encoder = Encoder(inputs=12, widths=[16], latent=4, activation="tanh")
    x = torch.rand(3, 12)
    assert encoder.contraction(x, encoder(x)) is None
    with torch.no_grad():  # as in evaluation
        found = torch.stack([estimate(encoder, x) for _ in range(1500)])
    spread = found.std(0) / 1500**0.5
    assert ((found.mean(0) - jacobian_norm(encoder, x)).abs() < 5 * spread).all()
    assert estimate(encoder, x).requires_grad
