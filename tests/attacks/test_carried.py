"""Pictures that were made with other nets: each sign that they say little is raised, and none where they are honest."""

import pytest
import torch
from torch import nn

from dlcli.attacks.carried import transferred
from dlcli.attacks.deepfool import DeepFool
from dlcli.attacks.pgd import PGD
from dlcli.attacks.shared import Universal
from dlcli.batch import Images

COUNT = 40
X = torch.rand(COUNT, 1, 4, 4, generator=torch.Generator().manual_seed(0))
INDEX = torch.arange(COUNT)
PLAIN = PGD(eps=0.15, steps=20, loss="margin")


def learned(noise):
    """Return a net near a common one, so that pictures carry over."""
    with torch.random.fork_rng():
        torch.manual_seed(3)
        net = nn.Sequential(nn.Flatten(), nn.Linear(16, 32), nn.ReLU(), nn.Linear(32, 4)).eval()
        for weight in net.parameters():
            weight.data += noise * torch.randn_like(weight)
        net[3].bias.data -= net(X).mean(0)
        return net


VICTIM, SOURCE = learned(0.0), learned(0.05)
Y = VICTIM(X).argmax(1)


def hidden(x):
    """Answer as the victim does, without gradients."""
    return VICTIM(x.detach())


def random(x):
    return VICTIM(x + 0.05 * torch.randn_like(x))


def optimizing(x):
    with torch.enable_grad():
        z = x.detach().requires_grad_()
        (gradient,) = torch.autograd.grad(VICTIM(z).logsumexp(1).sum(), z)
    return VICTIM(x + 0.01 * gradient)


def stubborn(x):
    """Answer all pictures alike, so that none is won."""
    return 0 * VICTIM(x)


def checks(victim=VICTIM, source=SOURCE, attack=PLAIN, x_adv=None, twin=None):
    x_adv = attack(source, X, Y, INDEX) if x_adv is None else x_adv
    return transferred(victim, source, X, Y, INDEX, attack, x_adv, twin)


def failed(**given):
    return {check.name for check in checks(**given) if not check.passed}


def test_an_honest_transfer_raises_no_flag():
    found = checks()
    assert [check.name for check in found] == ["gradients", "logits", "repeatable", "static", "noise", "direct"]
    assert all(check.passed for check in found)
    assert failed(attack=PGD(eps=1.0, norm="l2", target="least", steps=20)) == set()
    carried, direct = (int(part.split()[-1]) for part in found[-1].finding.replace(f" of {COUNT}", "").split(",")[::-1])
    assert 0 < carried < direct


@pytest.mark.parametrize(
    ("given", "flag"),
    [
        ({"source": hidden}, "gradients"),
        ({"source": lambda x: SOURCE(x).softmax(1)}, "logits"),
        ({"victim": random}, "repeatable"),
        ({"victim": optimizing}, "static"),
        ({"x_adv": X, "attack": PGD(eps=0.5)}, "noise"),
        ({"victim": hidden, "attack": PGD(eps=0.15, steps=20, random_start=False)}, "direct"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_each_sign_is_raised_by_the_net_that_it_is_about(given, flag):
    assert flag in failed(**given)
    assert failed(victim=lambda x: VICTIM(x).softmax(1)) == set()  # the attack never asked it
    assert not failed(victim=hidden) & {"gradients", "static"}


def test_a_twin_is_shown_the_same_pictures():
    assert "twin" not in failed(victim=stubborn, twin=VICTIM)
    assert "twin" in failed(victim=stubborn, twin=stubborn)
    assert "twin" in failed(twin=VICTIM)


def test_an_attack_is_asked_for_what_it_can_tell():
    universal = Universal(eps=0.3).fitted(SOURCE, [Images(X, Y)])
    assert [check.name for check in checks(attack=universal)][4:] == ["noise"]
    assert [check.name for check in checks(attack=DeepFool())][4:] == ["direct"]
