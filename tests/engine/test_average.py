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


def largest(layer: nn.Linear) -> float:
    """Return the largest singular value of a weight as the layer uses it."""
    return torch.linalg.matrix_norm(layer.weight.detach(), 2).item()


def test_a_spectral_norm_divides_averaged_weights_by_their_own_singular_value():
    torch.manual_seed(0)
    layer = nn.utils.parametrizations.spectral_norm(nn.Linear(12, 8))
    average, x = Average(layer, 0.8), torch.randn(5, 12)
    for step in range(10):  # the weights wander, and their average with them
        with torch.no_grad():
            layer.parametrizations.weight.original.add_(torch.randn(8, 12))
        layer(x)
        average.update(Clock(step, 10))
    before = {name: value.clone() for name, value in layer.state_dict().items()}
    layer.eval()
    assert largest(layer) > 1.01  # one iteration a step lags behind the weights
    with average.applied():
        assert largest(layer) == pytest.approx(1, abs=1e-3)
        assert not layer.training
        taken = {name: value.clone() for name, value in layer.state_dict().items()}
    assert all(torch.equal(before[name], value) for name, value in layer.state_dict().items())
    twin = nn.utils.parametrizations.spectral_norm(nn.Linear(12, 8)).eval()
    twin.load_state_dict(taken)  # as the best weights of a run are kept
    assert largest(twin) == pytest.approx(1, abs=1e-3)


def test_two_averages_are_refused(dl):
    code, _, err = dl("train", "model=mlp", "data=iris", "ema=0.9", "swa=0.5")
    assert code == 2
    assert "one average only" in err


def test_a_run_with_a_stochastic_average_learns_and_resumes(dl, undrawn):
    assert dl("train", "model=mlp", "data=iris", "epochs=3", "swa=0.5")[0] == 0
    assert dl("verify", "steps=3")[0] == 0
