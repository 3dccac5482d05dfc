"""Each way to hide gradients raises its flag, and an honest net raises none."""

import pytest
import torch
from arsenal import learned
from torch import nn

from dlcli.attacks.checks import masking
from dlcli.attacks.ensemble import AutoAttack
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


def inner_step(x):
    """Purify pictures by a gradient step of one's own, as some defences do."""
    with torch.enable_grad():
        z = x.detach().requires_grad_()
        (gradient,) = torch.autograd.grad(NET(z).logsumexp(1).sum(), z)
    return x + 0.01 * gradient


def failed(classifier, attack, x_adv=None, twin=None) -> set[str]:
    y = NET(X).argmax(1)
    x_adv = attack(classifier, X, y, INDEX) if x_adv is None else x_adv
    return {check.name for check in masking(classifier, X, y, INDEX, attack, x_adv, twin) if not check.passed}


PLAIN = PGD(eps=0.15, steps=40, restarts=3, loss="margin")


def test_an_honest_net_raises_no_flag():
    assert failed(NET, AutoAttack(eps=0.15, steps=30, queries=100)) == set()
    assert failed(NET, PGD(eps=1.5, norm="l2", target="least", restarts=2, loss="margin")) == set()


@pytest.mark.parametrize(
    "layers",
    [
        (nn.Flatten(), nn.Linear(64, 10)),
        (nn.Flatten(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10)),
        (nn.Conv2d(1, 16, 3), nn.BatchNorm2d(16), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(144, 10)),
    ],
    ids=["linear", "two layers", "convolution"],
)
def test_nets_that_have_learned_digits_and_hide_nothing_raise_no_flag(layers):
    net, x, y = learned(*layers)
    index = torch.arange(len(x))
    assert (net(x).argmax(1) == y).float().mean() > 0.85
    attack = PGD(eps=0.1, steps=40, target="all", loss="margin")
    x_adv = attack(net, x, y, index)
    found = masking(net, x, y, index, attack, x_adv, None)
    assert len(found) > 8
    assert {check.name for check in found if not check.passed} == set()


@pytest.mark.parametrize(
    ("classifier", "flags"),
    [
        (lambda x: NET((x * 4).round() / 4), {"gradients", "unbounded"}),
        (lambda x: NET(x).softmax(1), {"logits"}),
        (Random(), {"repeatable"}),
        (lambda x: NET(x.detach()), {"gradients", "unbounded"}),
        (lambda x: torch.ones(len(x), 4), {"gradients"}),
        (lambda x: NET(inner_step(x)), {"static"}),
    ],
    ids=["quantized", "probabilities", "random", "detached", "constant", "optimizing"],
)
def test_a_net_that_hides_its_gradients_raises_its_flags(classifier, flags):
    assert flags <= failed(classifier, PLAIN)


def test_an_attack_that_does_nothing_is_shown_up_by_one_step_and_by_noise():
    assert failed(NET, PGD(eps=0.3), X) >= {"one step", "noise", "no gradients", "smaller eps"}


def test_a_net_of_extreme_logits_keeps_its_gradients_and_its_robust_accuracy():
    """Cross-entropy underflows at a temperature of 1/1000; log-odds do not, so there is nothing to flag."""
    y = NET(X).argmax(1)
    sure = lambda x: 1000 * NET(x)  # noqa: E731
    robust = [(net(PLAIN(net, X, y, INDEX)).argmax(1) == y).sum() for net in (NET, sure)]
    assert abs(robust[0] - robust[1]) <= 1
    assert "gradients" not in failed(sure, PLAIN)


def test_an_attack_of_few_steps_is_shown_up_by_twice_as_many():
    assert "twice the steps" in failed(NET, PGD(eps=0.2, steps=2, step_size=0.02, random_start=False))


def test_a_walk_that_still_falls_when_it_ends_is_shown_up():
    short = PGD(eps=0.15, steps=8, step_size=0.005, random_start=False)
    assert "plateau" in failed(NET, short)
    assert "plateau" not in failed(NET, PGD(eps=0.15, steps=80, step_size=0.005, random_start=False))


def test_an_attack_that_fails_on_an_undefended_twin_too_is_shown_up():
    """A defence that hides its gradients, and an attack that could not win anywhere."""
    hidden = lambda x: NET(x.detach())  # noqa: E731
    blind = PGD(eps=0.15, step_size=1e-9, random_start=False)
    assert "twin" not in failed(hidden, PLAIN, twin=NET)
    assert "twin" in failed(hidden, blind, twin=NET)
    assert "twin" in failed(hidden, PLAIN, twin=hidden)


def test_one_step_is_shown_up_by_noise_where_gradients_mislead():
    folded = lambda x: NET(x + 0.2 * torch.sin(200 * x))  # noqa: E731
    assert "noise" in failed(folded, FGSM(eps=0.3))


def test_findings_count():
    y = NET(X).argmax(1)
    found = {check.name: check.finding for check in masking(NET, X, y, INDEX, PLAIN, X)}
    assert found["gradients"] == f"0 of {COUNT} pictures have a zero gradient"
    assert found["one step"].endswith(f"of {COUNT} examples left by the attack")
