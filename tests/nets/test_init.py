"""Starting weights: their variances against the formulas, and what each recipe leaves alone."""

import pytest
import torch
from torch import nn

from dlcli.nets.init import Default, Dirac, He, LeCun, Normal, Orthogonal, Sparse, Uniform, Xavier, Zeros

LINEAR = (300, 500)  # fan in, fan out


@pytest.mark.parametrize(
    ("recipe", "variance"),
    [
        (Default(), 1 / (3 * 300)),
        (Xavier(), 2 / (300 + 500)),
        (Xavier(gain=2.0), 8 / (300 + 500)),
        (He(), 2 / 300),
        (LeCun(), 1 / 300),
        (Normal(), 0.01**2),
        (Uniform(), 1 / (3 * 300)),
        (Uniform(scale=6**0.5), 2 / 300),
        (Sparse(), 0.1 * 0.1**2),
        (Zeros(), 0.0),
    ],
)
def test_variance_of_a_matrix(recipe, variance):
    layer = nn.Linear(*LINEAR)
    recipe(layer)
    assert layer.weight.var().item() == pytest.approx(variance, rel=0.03)
    assert layer.weight.mean().abs().item() < 0.003


def test_fan_in_of_a_convolution_counts_its_window():
    layer = nn.Conv2d(40, 60, 5)
    He()(layer)
    assert layer.weight.var().item() == pytest.approx(2 / (40 * 25), rel=0.03)
    Uniform()(layer)
    assert layer.weight.abs().max().item() == pytest.approx((40 * 25) ** -0.5, rel=1e-3)


def test_biases_become_zero_and_norms_stay():
    net = nn.Sequential(nn.Conv2d(2, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(4, 3))
    nn.init.constant_(net[1].bias, 0.5)
    He()(net)
    assert net[0].bias.tolist() == [0] * 4
    assert net[3].bias.tolist() == [0] * 3
    assert net[1].weight.tolist() == [1] * 4
    assert net[1].bias.tolist() == [0.5] * 4


def test_dirac_passes_pictures_on_and_leaves_matrices_alone():
    net = nn.Sequential(nn.Conv2d(3, 3, 3, padding=1), nn.Flatten(), nn.Linear(48, 2))
    before, bias = net[2].weight.clone(), net[2].bias.clone()
    Dirac()(net)
    x = torch.randn(2, 3, 4, 4)
    torch.testing.assert_close(net[0](x), x)
    assert torch.equal(net[2].weight, before)
    assert torch.equal(net[2].bias, bias)


def test_sparse_leaves_convolutions_alone():
    net = nn.Sequential(nn.Conv2d(3, 3, 3), nn.Linear(100, 50))
    before = net[0].weight.clone()
    Sparse(sparsity=0.8)(net)
    assert torch.equal(net[0].weight, before)
    assert (net[1].weight == 0).sum(0).tolist() == [40] * 100


def test_orthogonal_rows_have_length_gain():
    layer = nn.Linear(50, 20)
    Orthogonal(gain=2.0)(layer)
    torch.testing.assert_close(layer.weight @ layer.weight.T, 4 * torch.eye(20), atol=1e-4, rtol=0)


def test_default_changes_nothing_and_equal_seeds_give_equal_weights():
    layer = nn.Linear(5, 5)
    before = layer.weight.clone()
    Default()(layer)
    assert torch.equal(layer.weight, before)
    torch.manual_seed(3)
    He()(layer)
    first = layer.weight.clone()
    torch.manual_seed(3)
    He()(layer)
    assert torch.equal(layer.weight, first)
