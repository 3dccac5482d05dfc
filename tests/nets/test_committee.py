"""Committees and views: averages by two routes."""

import pytest
import torch
from torch import nn

from dlcli.errors import ConfigError
from dlcli.nets.committee import Committee, Views


def test_a_committee_averages_probabilities():
    members = [nn.Linear(3, 4) for _ in range(5)]
    x = torch.randn(6, 3)
    mean = torch.stack([member(x).softmax(1) for member in members]).mean(0)
    assert torch.allclose(Committee(members=members)(x).exp(), mean, atol=1e-6)


def test_two_heads_are_better_than_one():
    """Members whose errors are independent: the majority is right more often than any of them."""
    truth = torch.randint(0, 2, (4000,))
    votes = [torch.where(torch.rand(4000) < 0.7, truth, 1 - truth) for _ in range(9)]

    class Voter(nn.Module):
        def __init__(self, vote):
            super().__init__()
            self.vote = vote

        def forward(self, x):
            return nn.functional.one_hot(self.vote, 2).float()

    answer = Committee(members=[Voter(vote) for vote in votes])(truth).argmax(1)
    assert (answer == truth).float().mean() > 0.85 > max((vote == truth).float().mean() for vote in votes)


@pytest.mark.parametrize("kind", ["none", "mirror", "shift"])
def test_views_of_a_net_that_does_not_care_change_nothing(kind):
    net = lambda x: x.mean((2, 3))  # noqa: E731
    x = torch.rand(2, 3, 8, 8)
    wrapped = Views(net=nn.Module(), kind=kind)
    wrapped.net = type("Mean", (nn.Module,), {"forward": lambda self, x: net(x)})()
    weights = [weight for _, weight in wrapped.views(x)]
    assert sum(weights) == pytest.approx(1)
    assert len(weights) == {"none": 1, "mirror": 2, "shift": 6}[kind]
    if kind != "shift":
        assert torch.allclose(wrapped(x), net(x), atol=1e-6)


def test_mirrored_views_make_a_net_blind_to_mirroring():
    net = nn.Sequential(nn.Conv2d(1, 4, 3), nn.Flatten(), nn.Linear(4 * 36, 3))
    x = torch.rand(2, 1, 8, 8)
    both = Views(net=net, kind="shift")
    assert torch.allclose(both(x), both(x.flip(-1)), atol=1e-5)
    assert not torch.allclose(net(x), net(x.flip(-1)), atol=1e-5)


def test_an_unknown_view_is_named():
    with pytest.raises(ConfigError, match="views='flip'"):
        Views(net=nn.Identity(), kind="flip")
