"""Wrappers around a net: what reaches it, and what becomes of gradients."""

import pytest
import torch
from scipy.ndimage import median_filter
from torch import nn

from dlcli.attacks.checks import repeats, slopes
from dlcli.attacks.fgsm import FGSM
from dlcli.attacks.square import Square
from dlcli.errors import ConfigError
from dlcli.nets.defences import Noisy, Squeezed, median


class Sums(nn.Module):
    """Two logits: the sum of the left and of the right half of a picture."""

    def forward(self, x):
        return x.flatten(2).sum(1).unflatten(1, (2, -1)).sum(2)


def test_quantization_leaves_so_many_grey_levels():
    x = torch.linspace(0, 1, 16).view(1, 1, 4, 4)
    for levels in (2, 4, 256):
        seen = Squeezed(net=nn.Identity(), levels=levels)(x)
        assert (seen * (levels - 1)).frac().allclose(torch.zeros(()), atol=1e-5) or levels == 256
        assert (seen - x).abs().max() <= 0.5 / (levels - 1) + 1e-6
    assert Squeezed(net=nn.Identity(), levels=2)(x).unique().tolist() == [0, 1]


def test_the_median_is_that_of_scipy():
    x = torch.rand(2, 3, 7, 6)
    for size in (3, 5):
        expected = median_filter(x.numpy(), (1, 1, size, size), mode="mirror")
        assert median(x, size).equal(torch.from_numpy(expected))
    assert median(x, 1) is x


def test_a_net_behind_rounding_looks_robust_to_gradients_and_is_not():
    x = torch.rand(40, 1, 4, 4)
    y, index = Sums()(x).argmax(1), torch.arange(40)
    net = Squeezed(net=Sums(), levels=8).eval()
    right = net(x).argmax(1) == y
    x, y, index = x[right], y[right], index[right]
    assert FGSM(eps=0.3)(net, x, y, index).equal(x)
    assert not slopes(net, x, y).passed
    found = Square(eps=0.3, queries=200)(net, x, y, index)
    assert (net(found).argmax(1) == y).float().mean() < 0.3


def test_noise_is_new_in_every_answer_and_absent_while_learning_unless_it_is_asked_for():
    x = torch.rand(5, 1, 4, 4)
    net = Noisy(net=Sums(), std=0.5)
    assert net.train()(x).equal(Sums()(x))
    assert not Noisy(net=Sums(), std=0.5, training=True).train()(x).equal(Sums()(x))
    assert not repeats(net.eval(), x).passed
    torch.manual_seed(1)
    first = net(x)
    torch.manual_seed(1)
    assert net(x).equal(first)
    torch.testing.assert_close(Noisy(net=Sums(), std=0.0, draws=3).eval()(x), Sums()(x).log_softmax(1))


def test_many_draws_come_close_to_the_mean_probability():
    x = torch.full((1, 1, 2, 2), 0.5)
    logits = Noisy(net=Sums(), std=1.0, draws=4000).eval()(x)
    assert logits.exp().tolist() == [pytest.approx([0.5, 0.5], abs=0.03)]


def test_values_that_make_no_sense_are_refused():
    for values in ({"std": -1.0}, {"draws": 0}):
        with pytest.raises(ConfigError, match="std must be at least 0"):
            Noisy(net=Sums(), **values)
    for values in ({"levels": 1}, {"median": 2}, {"median": 0}):
        with pytest.raises(ConfigError, match="an odd number of pixels"):
            Squeezed(net=Sums(), **values)
