"""Averages of the weights: by hand, and over a short training."""

import pytest
import torch
from torch import nn

from dlcli.engine.average import Average
from dlcli.model import Clock


def walk(average: Average, net: nn.Linear, steps: int) -> list[torch.Tensor]:
    """Move the weights and update; return the weights of each step."""
    seen = []
    for step in range(steps):
        with torch.no_grad():
            net.weight.copy_(torch.full_like(net.weight, float(step**2)))
        average.update(Clock(step, steps))
        seen.append(net.weight.detach().clone())
    return seen


def test_the_exponential_average_by_hand():
    net = nn.Linear(2, 1, bias=False)
    expected = net.weight.detach().clone()
    average = Average(net, 0.9)
    for weight in walk(average, net, 5):
        expected = 0.9 * expected + 0.1 * weight
    assert torch.allclose(average.weights[0], expected)


@pytest.mark.parametrize("start", [0.0, 0.5, 0.8])
def test_the_stochastic_average_is_the_mean_since_its_start(start):
    net = nn.Linear(2, 1, bias=False)
    average = Average(net, None, start)
    seen = walk(average, net, 10)
    assert torch.allclose(average.weights[0], torch.stack(seen[int(start * 10) :]).mean(0))


def test_statistics_of_batch_norms_are_averaged_with_the_weights():
    net = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3))
    average = Average(net, 0.5)
    net.train()(torch.randn(8, 2) + 5)
    live = net[1].running_mean.clone()
    average.update(Clock(0, 1))
    with average.applied():
        assert torch.allclose(net[1].running_mean, live / 2)
    assert torch.equal(net[1].running_mean, live)


def test_two_averages_are_refused(dl):
    code, _, err = dl("train", "model=mlp", "data=iris", "ema=0.9", "swa=0.5")
    assert code == 2
    assert "one average only" in err


def test_a_run_with_a_stochastic_average_learns_and_resumes(dl, undrawn):
    assert dl("train", "model=mlp", "data=iris", "epochs=3", "swa=0.5")[0] == 0
    assert dl("verify", "steps=3")[0] == 0
