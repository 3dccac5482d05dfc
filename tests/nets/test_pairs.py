"""Linear maps for pairs of classes: what they say together, and what they can tell apart."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from dlcli.errors import ConfigError
from dlcli.nets.mlp import Linear
from dlcli.nets.pairs import Pairs, PairwiseMLP


def agreeing(whole: nn.Linear, classes: int) -> Pairs:
    """Return pairs whose maps are the differences of those of a softmax."""
    pairs = Pairs(whole.in_features, classes)
    first, second = torch.triu_indices(classes, classes, offset=1)
    with torch.no_grad():
        pairs.linear.weight.copy_(whole.weight[first] - whole.weight[second])
        pairs.linear.bias.copy_(whole.bias[first] - whole.bias[second])
    return pairs


@pytest.mark.parametrize("classes", [2, 3, 10])
def test_pairs_that_agree_are_a_softmax(classes):
    whole, h = nn.Linear(7, classes), torch.randn(5, 7)
    torch.testing.assert_close(agreeing(whole, classes)(h), whole(h).log_softmax(1))


def test_two_classes_are_logistic_regression():
    pairs, h = Pairs(4, 2), torch.randn(6, 4)
    odds = pairs.linear(h)[:, 0]
    torch.testing.assert_close(pairs(h), torch.stack([F.logsigmoid(odds), F.logsigmoid(-odds)], dim=1))


def test_worked_numbers_of_three_classes_that_disagree():
    pairs = Pairs(1, 3)
    with torch.no_grad():
        pairs.linear.weight.zero_()
        pairs.linear.bias.copy_(torch.tensor([2.0, 3.0, 4.0]).log())  # odds of 0 against 1, 0 against 2, 1 against 2
    probabilities = pairs(torch.zeros(1, 1)).exp()[0].tolist()
    assert probabilities == pytest.approx([1 / (1 + 1 / 2 + 1 / 3), 1 / (1 + 2 + 1 / 4), 1 / (1 + 3 + 4)])


def test_each_map_learns_as_autograd_and_differences_say():
    pairs = Pairs(3, 4).double()
    assert torch.autograd.gradcheck(pairs, torch.randn(2, 3, dtype=torch.double, requires_grad=True))


def test_odds_beyond_what_exp_can_hold_stay_finite():
    pairs = Pairs(1, 3)
    nn.init.constant_(pairs.linear.weight, 1e4)
    assert pairs(torch.tensor([[1.0], [-1.0]])).isfinite().all()


def test_pairs_tell_apart_what_one_map_for_each_class_does_not():
    x = torch.randn(4000, 2)
    angles = torch.tensor([0.0, 2.1, 4.2])  # three lines around a triangle: no three maps of classes meet like that
    beyond = x @ torch.stack([angles.cos(), angles.sin()]) > 0.4  # (N, 3): 0 beats 1, 1 beats 2, 2 beats 0
    beats = torch.stack([beyond[:, 0] & ~beyond[:, 2], beyond[:, 1] & ~beyond[:, 0], beyond[:, 2] & ~beyond[:, 1]], 1)
    x, y = x[beats.any(1)], beats[beats.any(1)].int().argmax(1)

    def accuracy(net: nn.Module) -> float:
        descent = torch.optim.LBFGS(net.parameters(), max_iter=300, line_search_fn="strong_wolfe")

        def loss() -> torch.Tensor:
            descent.zero_grad()
            value = F.cross_entropy(net(x), y)
            value.backward()
            return value

        descent.step(loss)
        return (net(x).argmax(1) == y).float().mean().item()

    assert accuracy(PairwiseMLP(inputs=2, widths=[], outputs=3)) > 0.995
    assert accuracy(Linear(inputs=2, outputs=3)) < 0.96


def test_one_class_has_no_pair():
    with pytest.raises(ConfigError, match="two classes or more"):
        PairwiseMLP(inputs=2, widths=[4], outputs=1)
