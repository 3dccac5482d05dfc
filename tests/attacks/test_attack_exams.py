"""Exams with a known answer, passed by our attacks, and broken attacks, each caught by an exam.

The broken ones are mistakes that published libraries made: a step up instead of down, projection on the previous
picture, norms over the batch, an absolute floor under the norm of a gradient, the last picture instead of the best.
"""

import itertools
import random

import pytest
import torch
from torch import Tensor, nn

from dlcli.attacks import ball, fgsm, objective, pgd
from dlcli.attacks.best import Best
from dlcli.attacks.fgsm import FGSM
from dlcli.attacks.noise import Noise
from dlcli.attacks.pgd import PGD
from dlcli.attacks.verify import verify
from dlcli.errors import DlError

COUNT, SHAPE, SIZE = 64, (1, 4, 4), 16


def pictures(low: float = 0.0, high: float = 1.0, seed: int = 0) -> Tensor:
    return low + (high - low) * torch.rand(COUNT, *SHAPE, generator=torch.Generator().manual_seed(seed))


def curved_net(classes: int = 5) -> nn.Module:
    """A random net with a hidden layer: curved enough for walks to go astray."""
    with torch.random.fork_rng():
        torch.manual_seed(3)
        net = nn.Sequential(nn.Flatten(), nn.Linear(SIZE, 24), nn.Tanh(), nn.Linear(24, classes)).eval()
        net[1].weight.data *= 3
        return net


def linear_net() -> tuple[nn.Module, Tensor]:
    """Two classes, logits (-s, s) / 2 with s = w (x - 1/2): the margin is |s|."""
    w = torch.randn(SIZE, generator=torch.Generator().manual_seed(4))
    net = nn.Sequential(nn.Flatten(), nn.Linear(SIZE, 2)).eval()
    net[1].weight.data = torch.stack([-w, w]) / 2
    net[1].bias.data = torch.tensor([w.sum() / 4, -w.sum() / 4])
    return net, w


def one_by_one(net):
    """A classifier whose arithmetic cannot depend on the batch."""
    return lambda x: torch.cat([net(x[i : i + 1]) for i in range(len(x))])


def scaled(net, factor: float):
    return lambda x: factor * net(x)


INDEX = torch.arange(COUNT)


def attack(kind, net, x, y=None, index=INDEX, **values) -> Tensor:
    y = net(x).argmax(1) if y is None else y
    return kind(**values)(net, x, y, index)


def wins(net, x_adv, y) -> Tensor:
    return net(x_adv).argmax(1) != y


# ---- exams ----


def exam_linear():
    """On a linear net the other class is at distance |s| / |w|_1 in linf and |s| / |w|_2 in l2: no more, no less."""
    net, w = linear_net()
    x = pictures(0.4, 0.6)  # far from the walls of the box
    y = net(x).argmax(1)
    for norm, dual in (("linf", w.abs().sum()), ("l2", w.norm())):
        distance = ((x.flatten(1) - 0.5) @ w).abs() / dual
        eps = distance.median().item() * 1.001  # between two examples: half of them can be won
        assert torch.equal(wins(net, attack(FGSM, net, x, eps=eps, norm=norm), y), distance < eps), norm
        won = wins(net, attack(PGD, net, x, eps=eps, norm=norm), y)
        assert not (won & (distance > eps)).any(), norm
        assert won[distance < 0.98 * eps].all(), norm  # its random start is not quite forgotten after 2.5 eps of way


def exam_linear_in_the_box():
    """With walls the best linf attack moves each pixel by eps or to the wall."""
    net, w = linear_net()
    x, eps = pictures(), 0.15
    y = net(x).argmax(1)
    toward = torch.where(y == 1, -1.0, 1.0).view(-1, 1) * w.sign()
    best = (x.flatten(1) + eps * toward).clamp(0, 1)
    for kind in (FGSM, PGD):
        x_adv = attack(kind, net, x, eps=eps)
        torch.testing.assert_close(x_adv.flatten(1), best, rtol=0, atol=1e-6)


def exam_threat_model():
    """Every attack stays in the ball and in the box, at every size, also with steps that are far too long."""
    net, x = curved_net(), pictures()
    for norm, sizes in (("linf", (1e-3, 8 / 255, 0.3, 1.0)), ("l2", (1e-3, 0.5, 2.0, 4.0))):
        for eps in sizes:
            for kind, more in ((FGSM, {}), (PGD, {"steps": 5}), (PGD, {"steps": 5, "step_size": eps}), (Noise, {})):
                x_adv = attack(kind, net, x, eps=eps, norm=norm, **more)
                verdict = verify(x, x_adv, eps=eps, norm=norm)
                assert verdict.changed > 0.5 * COUNT


def exam_large_pictures():
    """Rounding adds up over many pixels and long distances, and stays within a millionth all the same."""
    x = 0.45 + 0.1 * torch.rand(8, 3, 64, 64, generator=torch.Generator().manual_seed(1))  # far from the walls
    w = torch.randn(3 * 64 * 64, 2, generator=torch.Generator().manual_seed(2))
    for eps in (3.0, 5.0, 8.0):
        x_adv = attack(PGD, lambda x: x.flatten(1) @ w, x, index=INDEX[:8], eps=eps, norm="l2", steps=5)
        assert verify(x, x_adv, eps=eps, norm="l2").largest > (1 - 1e-5) * eps


def exam_one_step_of_many():
    """A walk of one step of full length, from the picture itself, is the single step."""
    net, _ = linear_net()
    x = pictures()
    walked = attack(PGD, net, x, eps=0.1, steps=1, step_size=0.1, random_start=False)
    assert torch.equal(walked, attack(FGSM, net, x, eps=0.1))


def exam_never_worse():
    """Where the gradient points the wrong way, the clean picture is the best that a walk came by."""
    net, x = linear_net()[0], pictures()
    misleading = lambda x: net(2 * x.detach() - x)  # noqa: E731 (the value at x, minus its gradient)
    assert torch.equal(attack(PGD, misleading, x, eps=0.1, random_start=False), x)


def exam_tiny_gradients():
    """A net whose logits are 1e-20 times as large has the same adversarial pictures."""
    net, x = curved_net(), pictures()
    for kind in (FGSM, PGD):
        for norm in ("linf", "l2"):
            expected = attack(kind, net, x, eps=0.3, norm=norm, loss="margin")
            found = attack(kind, scaled(net, 1e-20), x, eps=0.3, norm=norm, loss="margin")
            torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)


def exam_certain_net():
    """A net that is certain of everything is fooled like one that is not: flat softmax, steep log-odds."""
    net, x = curved_net(), pictures()
    y = net(x).argmax(1)
    sure = scaled(net, 1e4)
    assert wins(sure, attack(PGD, sure, x, eps=0.3), y).sum() >= wins(net, attack(PGD, net, x, eps=0.3), y).sum() - 1


def exam_neighbours():
    """An example's result depends neither on its batch nor on its place in it."""
    net, x = one_by_one(curved_net()), pictures()[:12]
    y, index = net(x).argmax(1), INDEX[:12]
    order = torch.tensor(random.Random(0).sample(range(12), 12))
    for kind, more in ((FGSM, {}), (PGD, {"steps": 4, "restarts": 2}), (Noise, {"draws": 3})):
        for norm in ("linf", "l2"):
            for target in (None, "random", "least"):
                built = kind(eps=0.4, norm=norm, target=target, **more)
                whole = built(net, x, y, index)
                shuffled = built(net, x[order], y[order], index[order])
                alone = torch.cat([built(net, x[i : i + 1], y[i : i + 1], index[i : i + 1]) for i in range(12)])
                assert torch.equal(whole[order], shuffled), (kind, norm, target)
                assert torch.equal(whole, alone), (kind, norm, target)


def exam_nested():
    """More steps of the same size, more restarts and more draws never win less."""
    net, x = curved_net(), pictures()
    y = net(x).argmax(1)
    for kind, name, counts, fixed in (
        (PGD, "steps", (1, 2, 3, 4, 6, 8), {"eps": 0.12, "step_size": 0.2}),  # strides longer than the ball
        (PGD, "restarts", (1, 2, 4), {"eps": 0.12, "steps": 2}),
        (PGD, "restarts", (1, 2, 4), {"eps": 0.5, "steps": 2, "norm": "l2"}),
        (Noise, "draws", (1, 2, 8), {"eps": 0.3}),
    ):
        won = [wins(net, attack(kind, net, x, **fixed, **{name: count}), y) for count in counts]
        for fewer, more in itertools.pairwise(won):
            assert (more >= fewer).all(), (kind, name)
        assert won[-1].sum() > won[0].sum(), (kind, name)


def exam_targets():
    """A targeted attack without a bound reaches its target, and leaves alone what is there already."""
    net, x = curved_net(), pictures()
    y = net(x).argmax(1)
    for target in (0, 3, "least", "random"):
        built = PGD(eps=1.0, target=target, restarts=3)
        wanted = built.targets(net(x), y, INDEX)
        x_adv = built(net, x, y, INDEX)
        reached = net(x_adv).argmax(1) == wanted
        assert reached.float().mean() > 0.9, target
        assert torch.equal(x_adv[y == wanted], x[y == wanted])


def exam_plane():
    """On two pixels a grid of 201 x 201 points tells which examples can be won; PGD wins those and no others."""
    with torch.random.fork_rng():
        torch.manual_seed(5)
        net = nn.Sequential(nn.Flatten(), nn.Linear(2, 32), nn.Tanh(), nn.Linear(32, 3)).eval()
        net[1].weight.data *= 6
    x, eps = torch.rand(40, 1, 1, 2, generator=torch.Generator().manual_seed(6)), 0.15
    y = net(x).argmax(1)
    ticks = torch.linspace(-eps, eps, 201)
    offsets = torch.cartesian_prod(ticks, ticks)
    for norm in ("linf", "l2"):
        allowed = offsets if norm == "linf" else offsets[offsets.norm(dim=1) <= eps]
        with torch.no_grad():
            points = (x.view(-1, 1, 2) + allowed).clamp(0, 1)
            truth = (net[1:](points).argmax(2) != y.view(-1, 1)).any(1)
        won = wins(net, attack(PGD, net, x, index=torch.arange(40), eps=eps, norm=norm, restarts=5, loss="margin"), y)
        assert not (won & ~truth).any()
        assert (truth & ~won).sum() <= 1
        assert 0.2 < truth.float().mean() < 0.9


def exam_weights_untouched():
    """An attack leaves weights, gradients, running statistics and modes as they were."""
    net = nn.Sequential(nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3), nn.ReLU(), nn.Flatten(), nn.Linear(12, 4))
    for training in (False, True):
        net.train(training)
        net[1].eval()  # a frozen layer
        before = {name: value.clone() for name, value in net.state_dict().items()}
        modes = [module.training for module in net.modules()]
        for kind in (FGSM, PGD, Noise):
            attack(kind, net, pictures(), eps=0.1, target="least")
        assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
        assert all(p.grad is None and p.requires_grad for p in net.parameters())
        assert [module.training for module in net.modules()] == modes


EXAMS = {name[5:]: function for name, function in list(globals().items()) if name.startswith("exam_")}


@pytest.mark.parametrize("name", EXAMS)
def test_our_attacks_pass(name):
    EXAMS[name]()


# ---- broken attacks ----


def no_clamp(moved, x, eps, norm):
    return (
        torch.minimum(torch.maximum(moved, x - eps), x + eps)
        if norm == "linf"
        else honest["project"](moved, x, eps, norm)
    )


def shrink_by_sum(moved, x, eps, norm):
    """Measure l2 by the sum of absolute values."""
    delta = moved - x
    size = ball.per_example(delta.flatten(1).abs().sum(1), x)
    return honest["project"](moved, x, eps, norm) if norm == "linf" else x + delta * (eps / size.clamp(min=eps))


def batch_norm_direction(gradient, norm):
    return gradient.sign() if norm == "linf" else gradient / gradient.norm()


def floored_direction(gradient, norm):
    square = (gradient**2).flatten(1).sum(1).clamp(min=1e-12)
    return gradient.sign() if norm == "linf" else gradient / ball.per_example(square.sqrt(), gradient)


def around_previous(self, here, velocity, x):
    return honest["moved"](self, here, velocity, here)


def last_offer(self, rows, candidates, value):
    self.x[rows], self.value[rows] = candidates, value
    return torch.ones_like(value, dtype=torch.bool)


def offer_for_all(self, rows, candidates, value):
    """Choose one candidate for the whole batch."""
    if value.mean() < self.value[rows].mean():
        self.x[rows], self.value[rows] = candidates, value
    return torch.ones_like(value, dtype=torch.bool)


def start_by_generator(x, eps, norm, seed, stream, index):
    noise = torch.rand(x.shape, generator=torch.Generator().manual_seed(seed + stream))
    return ball.project(x + eps * (2 * noise - 1), x, eps, norm)


def start_plus_eps(x, eps, norm, seed, stream, index):
    return x + 2 * (honest["inside"](x, eps, norm, seed, stream, index) - x)


def softmax_loss(logits, y, target=None):
    if target is None:
        return logits.softmax(1).gather(1, y.unsqueeze(1)).squeeze(1).log()
    return -logits.softmax(1).gather(1, target.unsqueeze(1)).squeeze(1).log()


def accumulating_slope(classifier, x, value, draws=1):
    x = x.detach().requires_grad_()
    with torch.enable_grad():
        logits = classifier(x)
        value(logits).sum().backward()
    return x.grad, logits.detach()


def deaf_targets(logits, y, target=None):
    return objective.margin(logits, y)


honest = {"project": ball.project, "inside": ball.inside, "direction": ball.direction, "moved": PGD._moved}
BROKEN = {  # what is put where, and the exam that has to notice
    "step up": ([(ball, "direction", lambda g, norm: -honest["direction"](g, norm))], "linear"),
    "no projection": ([(ball, "project", lambda moved, x, eps, norm: moved.clamp(0, 1))], "threat_model"),
    "projection on previous": ([(PGD, "_moved", around_previous)], "threat_model"),
    "no clamp": ([(ball, "project", no_clamp)], "threat_model"),
    "start plus eps": ([(ball, "inside", start_plus_eps)], "threat_model"),
    "l1 for l2": ([(ball, "project", shrink_by_sum)], "linear"),
    "no step": ([(pgd, "REACH", 0.0)], "linear"),
    "short steps": ([(pgd, "REACH", 0.2)], "linear_in_the_box"),
    "norm over the batch": ([(ball, "direction", batch_norm_direction)], "neighbours"),
    "absolute floor": ([(ball, "direction", floored_direction)], "tiny_gradients"),
    "last, not best": ([(Best, "offer", last_offer)], "nested"),
    "one restart for all": ([(Best, "offer", offer_for_all)], "neighbours"),
    "generator for starts": ([(ball, "inside", start_by_generator)], "neighbours"),
    "probabilities": ([(objective.LOSSES, "cross_entropy", softmax_loss)], "certain_net"),
    "target ignored": ([(objective.LOSSES, "cross_entropy", deaf_targets)], "targets"),
    "gradients of weights": (
        [(fgsm, "slope", accumulating_slope), (pgd, "slope", accumulating_slope)],
        "weights_untouched",
    ),
    "gradient of l2 for linf": ([(ball, "direction", lambda g, n: honest["direction"](g, "l2"))], "linear"),
    "noise too small": (
        [(ball, "surface", lambda x, *rest: x)],
        "threat_model",
    ),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_attack_is_caught(name, monkeypatch):
    changes, exam = BROKEN[name]
    for place, key, value in changes:
        (monkeypatch.setitem if isinstance(place, dict) else monkeypatch.setattr)(place, key, value)
    with pytest.raises((AssertionError, DlError)):
        EXAMS[exam]()
