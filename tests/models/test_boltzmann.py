"""The Boltzmann machine: sampled gradients against exact ones, these against autograd, and bars and stripes."""

import math
from pathlib import Path

import pytest
import torch

from dlcli.batch import Table
from dlcli.data.bars import Bars
from dlcli.errors import ConfigError, DataError
from dlcli.model import Clock
from dlcli.models.boltzmann import BoltzmannLearning
from dlcli.models.partition import exact_log_z
from dlcli.nets.boltzmann import Boltzmann
from dlcli.nets.rbm import RBM
from dlcli.samplers import Gibbs, Interpolation, Prior

ENTROPY = (3 + 1 - 2 ** (1 - 3)) * math.log(2)  # of bars and stripes, 3 x 3


def batch(x) -> Table:
    """Return rows as a batch."""
    return Table(x, torch.zeros(len(x)))


def gradients(model, x) -> torch.Tensor:
    """Return the gradients that the rule writes, as one vector."""
    next(model.updates(batch(x), Clock(0, 1)))
    return torch.cat([model.net.weight.grad.flatten(), model.net.bias.grad])


def test_the_exact_gradient_is_autograds():
    model = BoltzmannLearning(net=Boltzmann(visible=4, hidden=3, scale=1.0), exact=True)
    x = torch.rand(9, 4).round()
    written = gradients(model, x)
    model.zero_grad()
    (-model.log_likelihood(x).mean()).backward()
    net = model.net
    torch.testing.assert_close(written, torch.cat([net.weight.grad.flatten(), net.bias.grad]), rtol=0, atol=1e-6)


@pytest.mark.parametrize("hidden", [0, 3])
def test_sampled_gradients_agree_with_exact_ones(hidden):
    net, x = Boltzmann(visible=4, hidden=hidden, scale=0.7), torch.rand(20_000, 4).round()
    exact = gradients(BoltzmannLearning(net=net, exact=True), x)
    sampled = gradients(BoltzmannLearning(net=net, chains=20_000, sweeps=20, hottest=3.0), x)
    torch.testing.assert_close(sampled, exact, rtol=0, atol=0.012)


def test_probabilities_of_everything_add_up_to_one_and_match_an_rbm():
    full = Boltzmann(visible=4, hidden=3, lateral_visible=False, lateral_hidden=False, scale=1.0)
    model, net = BoltzmannLearning(net=full), RBM(visible=4, hidden=3)
    every = torch.tensor([[float(i >> k & 1) for k in range(4)] for i in range(16)])
    with torch.no_grad():
        net.weight.copy_(full.links()[4:, :4])
        found = model.log_likelihood(every)
        torch.testing.assert_close(found, -net.free_energy(every) - exact_log_z(net), atol=1e-5, rtol=1e-5)
    assert found.exp().sum().item() == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("exact", [True, False])
def test_it_learns_bars_and_stripes(exact):
    x = Bars().load(Path()).train.x.float().div(255).flatten(1)
    model = BoltzmannLearning(net=Boltzmann(visible=9, hidden=5, scale=0.1), exact=exact, shape=[1, 3, 3])
    optimizer = torch.optim.Adam(model.parameters(), lr=0.05)
    steps = 150 if exact else 250
    before = model.measure(batch(x))["loss"].mean().item()
    for step in range(steps):
        optimizer.param_groups[0]["lr"] = 0.05 * (1 - step / steps)
        for _ in model.updates(batch(x[torch.randperm(500)[:100]]), Clock(step, steps)):
            optimizer.step()
            optimizer.zero_grad()
    after = model.measure(batch(x))["loss"].mean().item()
    assert before > 6
    assert ENTROPY - 0.1 < after < (3.4 if exact else 3.8)


def test_bars_and_stripes_are_what_they_say():
    splits = Bars(samples=4000).load(Path())
    x, y = splits.train.x[:, 0], splits.train.y
    rows, columns = (x.eq(first).flatten(1).all(1) for first in (x[:, :, :1], x[:, :1]))
    assert (rows | columns).all()
    assert columns[y == 1].all()
    assert len(x.flatten(1).unique(dim=0)) == 14
    _, counts = x.flatten(1).unique(dim=0, return_counts=True)
    share = counts / 4000
    assert -(share * share.log()).sum().item() == pytest.approx(ENTROPY, abs=0.02)
    with pytest.raises(ConfigError, match="bars take at least 2 pixels"):
        Bars(size=1).load(Path())


def test_samples_and_pictures_have_their_shapes():
    model = BoltzmannLearning(net=Boltzmann(visible=9, hidden=2), chains=5, shape=[1, 3, 3])
    for sampler in (Prior(), Gibbs(steps=2), Gibbs(steps=2, start="examples")):
        assert model.sample(7, sampler).shape == (7, 1, 3, 3)
    shown = model.show(batch(torch.rand(4, 9)))
    assert shown["links"].shape == (1, 1, 11, 11)
    assert shown["samples"].shape == (64, 1, 3, 3)
    with pytest.raises(ConfigError, match=r"sampler=interpolation walks between codes, .* use sampler=gibbs"):
        model.sample(7, Interpolation())
    for sampler in (Prior(label="1"), Gibbs(label="1")):
        with pytest.raises(ConfigError, match=r"sampler\.label=1: BoltzmannLearning draws from no chosen class"):
            model.sample(7, sampler)
    with pytest.raises(ConfigError, match=r"sampler\.temperature=2: .* at temperature 1; leave it out"):
        model.sample(7, Prior(temperature=2.0))


def test_mistakes_are_told_in_one_line():
    with pytest.raises(ConfigError, match=r"64 visible and 6 hidden units: .* at most 16 units together"):
        BoltzmannLearning(net=Boltzmann(visible=64, hidden=6))
    with pytest.raises(ConfigError, match=r"model\.sweeps=1: annealing from model\.hottest=3 .* at least 2 sweeps"):
        BoltzmannLearning(net=Boltzmann(visible=2, hidden=1), sweeps=1, hottest=3.0)
    model = BoltzmannLearning(net=Boltzmann(visible=2, hidden=1))
    with pytest.raises(DataError, match=r"inputs from 0\.5 to 2: .* in \[0, 1\]"):
        model.measure(batch(torch.tensor([[0.5, 2]])))


@pytest.mark.parametrize("sweeps", [1, 2, 5])
def test_annealing_begins_at_the_hottest_and_ends_at_one(sweeps):
    net, seen = Boltzmann(visible=2, hidden=1), []
    net.sweep = lambda s, temperature, clamped: seen.append(temperature) or s
    net.anneal(torch.zeros(1, 3), sweeps, hottest=4.0)
    assert seen[-1] == 1
    assert seen[0] == (4 if sweeps > 1 else 1)
    assert seen == sorted(seen, reverse=True)


@pytest.mark.parametrize("bad", ["sweeps=0", "chains=0", "hottest=0", "hottest=0.5"])
def test_the_command_line_refuses_values_that_make_no_machine(dl, bad):
    code, _, err = dl("train", "model=boltzmann", f"model.{bad}")
    assert code == 2
    assert f"model.{bad}: model.{bad.split('=')[0]} must be a" in err
