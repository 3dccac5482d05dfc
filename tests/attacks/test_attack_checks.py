"""Each way to hide gradients raises its flag, and an honest net raises none."""

import pytest
import torch
from torch import nn

from dlcli.attacks.checks import masking
from dlcli.attacks.fgsm import FGSM
from dlcli.attacks.pgd import PGD

COUNT = 40
X = torch.rand(COUNT, 1, 4, 4, generator=torch.Generator().manual_seed(0))
INDEX = torch.arange(COUNT)


def honest():
    with torch.random.fork_rng():
        torch.manual_seed(3)
        net = nn.Sequential(nn.Flatten(), nn.Linear(16, 32), nn.ReLU(), nn.Linear(32, 4)).eval()
        net[3].bias.data -= net(X).mean(0)  # every class occurs
        return net


NET = honest()


class Random:
    """A net with noise on its input, from a generator of its own."""

    def __init__(self):
        self.generator = torch.Generator().manual_seed(0)

    def __call__(self, x):
        return NET(x + 0.01 * torch.randn(x.shape, generator=self.generator))


def failed(classifier, attack, x_adv=None) -> set[str]:
    y = NET(X).argmax(1)
    x_adv = attack(classifier, X, y, INDEX) if x_adv is None else x_adv
    return {check.name for check in masking(classifier, X, y, INDEX, attack, x_adv) if not check.passed}


PLAIN = PGD(eps=0.15, steps=20)


def test_an_honest_net_raises_no_flag():
    assert failed(NET, PLAIN) == set()
    assert failed(NET, PGD(eps=0.5, norm="l2", steps=20, target="least")) == set()


@pytest.mark.parametrize(
    ("classifier", "flags"),
    [
        (lambda x: NET((x * 4).round() / 4), {"gradients", "unbounded"}),
        (lambda x: NET(x).softmax(1), {"logits"}),
        (Random(), {"repeatable"}),
        (lambda x: NET(x.detach()), {"gradients", "unbounded"}),
    ],
    ids=["quantized", "probabilities", "random", "detached"],
)
def test_a_net_that_hides_its_gradients_raises_its_flags(classifier, flags):
    assert flags <= failed(classifier, PLAIN)


def test_an_attack_that_does_nothing_is_shown_up_by_one_step_and_by_noise():
    assert failed(NET, PGD(eps=0.3), X) == {"one step", "noise"}


def test_one_step_is_shown_up_by_noise_where_gradients_mislead():
    folded = lambda x: NET(x + 0.2 * torch.sin(200 * x))  # noqa: E731
    assert "noise" in failed(folded, FGSM(eps=0.3))


def test_findings_count():
    y = NET(X).argmax(1)
    found = {check.name: check.finding for check in masking(NET, X, y, INDEX, PLAIN, X)}
    assert found["gradients"] == f"0 of {COUNT} pictures have a zero gradient"
    assert found["one step"].endswith(f"of {COUNT} examples left by the attack")
