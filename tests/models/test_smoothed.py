"""Randomized smoothing: the bound against scipy, the radius of a linear net in closed form, and when it abstains."""

import pytest
import torch
from scipy.stats import binomtest
from torch import nn

from dlcli.batch import Images
from dlcli.errors import ConfigError
from dlcli.models.smoothed import ABSTAINS, Smoothed, clopper_pearson, quantile


class Half(nn.Module):
    """A linear net: class 1 where the first pixel is above one half."""

    def forward(self, x):
        first = x.flatten(1)[:, 0]
        return torch.stack([torch.zeros_like(first), 50 * (first - 0.5)], 1)


def smoothed(**values) -> Smoothed:
    """Return the rule around the linear net."""
    return Smoothed(net=Half(), classes=2, **values).eval()


def picture(first: float) -> torch.Tensor:
    """Return a picture with a given first pixel."""
    x = torch.zeros(1, 1, 2, 2)
    x[0, 0, 0, 0] = first
    return x


def test_the_bound_is_that_of_scipy():
    for won, votes, alpha in ((990, 1000, 0.001), (1000, 1000, 0.001), (60, 100, 0.05), (1, 5, 0.3)):
        known = binomtest(won, votes, alternative="greater").proportion_ci(1 - alpha, method="exact").low
        assert clopper_pearson(won, votes, alpha) == pytest.approx(known, abs=1e-9)
    assert clopper_pearson(0, 10, 0.05) == 0.0
    assert quantile(0.975) == pytest.approx(1.959964, abs=1e-6)


def test_the_radius_of_a_linear_net_comes_from_below_to_its_distance():
    x = torch.cat([picture(0.5 + distance) for distance in (0.1, 0.2, 0.3)])
    few, many = (smoothed(std=0.25, votes=votes).certify(x) for votes in (300, 20_000))
    assert many[0].tolist() == [1, 1, 1]
    truth = torch.tensor([0.1, 0.2, 0.3])
    assert (many[1] <= truth + 0.005).all()
    assert (many[1] > 0.88 * truth).all()
    assert (few[1] < many[1]).all()


def test_a_certificate_cannot_exceed_what_the_votes_can_prove():
    _, radius = smoothed(std=0.5, votes=1000, alpha=0.001).certify(picture(100.0))
    assert radius.item() == pytest.approx(0.5 * quantile(0.001 ** (1 / 1000)), abs=1e-6)


def test_it_abstains_at_the_border():
    kind, radius = smoothed(std=0.25, votes=200).certify(picture(0.5))
    assert (kind.item(), radius.item()) == (ABSTAINS, 0.0)


def test_wrong_certificates_are_as_rare_as_alpha_says():
    torch.manual_seed(3)
    model = smoothed(std=0.25, choosing=50, votes=100, alpha=0.1)
    _, radius = model.certify(picture(0.7).expand(200, 1, 2, 2))
    assert 0.0 < (radius > 0.2).double().mean() < 0.16


def test_the_logits_are_those_of_the_mean_probability():
    model = smoothed(std=0.25, draws=4000)
    share = model(picture(0.6)).exp()[0, 1].item()
    assert share == pytest.approx(torch.distributions.Normal(0, 1).cdf(torch.tensor(0.4)).item(), abs=0.03)
    first, second = smoothed(draws=2)(picture(0.5)), smoothed(draws=2)(picture(0.5))
    assert not first.equal(second)


def test_it_learns_from_noisy_pictures():
    seen = []
    model = smoothed(std=0.25)
    model.net.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    model.loss(Images(torch.zeros(500, 1, 2, 2), torch.zeros(500, dtype=torch.int64)))
    assert seen[0].std().item() == pytest.approx(0.25, abs=0.02)


def test_values_that_make_no_sense_are_refused():
    for values in ({"std": 0.0}, {"votes": 0}, {"alpha": 1.0}):
        with pytest.raises(ConfigError, match="alpha between 0 and 1"):
            smoothed(**values)
