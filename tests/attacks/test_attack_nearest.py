"""Attacks that look for the smallest change, against distances in closed form."""

import pytest
import torch
from arsenal import learned
from torch import nn

from dlcli.attacks import ball, carlini
from dlcli.attacks.carlini import CarliniWagner
from dlcli.attacks.deepfool import DeepFool
from dlcli.attacks.objective import margin
from dlcli.attacks.plane import onto
from dlcli.attacks.verify import verify

COUNT, SIZE = 32, 16
INDEX = torch.arange(COUNT)


def middling(seed: int = 0) -> torch.Tensor:
    """Pictures far from the walls of the box."""
    return 0.4 + 0.2 * torch.rand(COUNT, 1, 4, 4, generator=torch.Generator().manual_seed(seed))


def pictures_at_walls() -> torch.Tensor:
    """Pictures of which a third of the pixels is black or white."""
    return (1.5 * torch.rand(COUNT, 1, 4, 4, generator=torch.Generator().manual_seed(2)) - 0.25).clamp(0, 1)


def linear(classes: int = 5) -> nn.Module:
    generator = torch.Generator().manual_seed(4)
    net = nn.Sequential(nn.Flatten(), nn.Linear(SIZE, classes)).eval()
    net[1].weight.data = torch.randn(classes, SIZE, generator=generator)
    net[1].bias.data = -net[1].weight.data.sum(1) / 2 + 0.1 * torch.randn(classes, generator=generator)
    return net


def curved(classes: int = 5) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(3)
        net = nn.Sequential(nn.Flatten(), nn.Linear(SIZE, 24), nn.Tanh(), nn.Linear(24, classes)).eval()
        net[1].weight.data *= 3
        return net


def true_distance(net, x, y, dual: int) -> torch.Tensor:
    """Return the distance to each other class, infinite for the own: margin over the dual norm of the slopes."""
    w, z = net[1].weight.data, net(x).detach()
    gap = z.gather(1, y.unsqueeze(1)) - z
    slope = (w[y].unsqueeze(1) - w.unsqueeze(0)).norm(p=dual, dim=2)
    return (gap / slope).scatter(1, y.unsqueeze(1), torch.inf)


@pytest.mark.parametrize(
    ("attack", "dual", "factor"),
    [
        (DeepFool(norm="l2"), 2, 1.02),
        (DeepFool(norm="linf"), 1, 1.02),
        (CarliniWagner(target="all", steps=100, searches=7), 2, 1.05),
    ],
    ids=["deepfool l2", "deepfool linf", "cw"],
)
@pytest.mark.parametrize("classes", [2, 5])
def test_distances_on_a_linear_net_are_the_true_ones(attack, dual, factor, classes):
    net, x = linear(classes), middling()
    y = net(x).argmax(1)
    truth = true_distance(net, x, y, dual).amin(1)
    found = attack(net, x, y, INDEX)
    size = ball.distance(found - x, attack.norm)
    assert (net(found).argmax(1) != y).all()
    assert (size >= truth * (1 - 1e-4)).all()
    assert (size <= truth * factor).all()
    assert (size / truth).median() <= 1.01


def test_carlini_and_wagner_as_the_config_has_it_finds_the_true_distance_to_the_other_class():
    net, x = linear(2), middling()
    y = net(x).argmax(1)
    size = ball.distance(CarliniWagner()(net, x, y, INDEX) - x, "l2")
    assert (size <= true_distance(net, x, y, 2).amin(1) * 1.01).all()


@pytest.mark.parametrize("norm", ["l2", "linf"])
def test_deepfool_finds_the_true_distance_at_walls(norm):
    """On a linear net the smallest change onto the border within the box is known by halving."""
    net, x = linear(2), pictures_at_walls()
    y = net(x).argmax(1)
    z, slope = net(x).detach(), (net[1].weight.data[1] - net[1].weight.data[0]).expand(COUNT, -1).view_as(x)
    truth = ball.distance(onto(x, slope, z[:, 1] - z[:, 0], norm), norm)
    found = DeepFool(norm=norm)(net, x, y, INDEX)
    assert (net(found).argmax(1) != y).all()
    size = ball.distance(found - x, norm)
    assert (size >= truth * (1 - 1e-4)).all()
    assert (size <= truth * 1.02).all()


@pytest.mark.parametrize("norm", ["l2", "linf"])
def test_deepfool_walks_as_the_paper_does(norm):
    """One example at a time, by the formula, with nothing drawn nearer afterwards: ours is nowhere farther."""
    net, x = curved(), pictures_at_walls()
    y = net(x).argmax(1)
    size = ball.distance(DeepFool(norm=norm)(net, x, y, INDEX) - x, norm)
    for i in range(COUNT):
        here, whole = x[i : i + 1], torch.zeros_like(x[:1])
        while net(here).argmax() == y[i]:
            z = net(here.requires_grad_())[0]
            steps = []
            for k in set(range(5)) - {int(y[i])}:
                (w,) = torch.autograd.grad(z[k] - z[y[i]], here, retain_graph=True)
                gap = (z[k] - z[y[i]]).abs().item() + 1e-6
                steps.append(gap / w.norm() ** 2 * w if norm == "l2" else gap / w.abs().sum() * w.sign())
            whole = whole + min(steps, key=lambda step: ball.distance(step, norm).item())
            here = (x[i : i + 1] + 1.02 * whole).clamp(0, 1)
        assert size[i] <= ball.distance(here - x[i : i + 1], norm) * 1.01


@pytest.mark.parametrize("kind", [DeepFool, CarliniWagner])
def test_a_target_is_reached_at_its_distance(kind):
    attack = kind(target=3, steps=100)
    net, x = linear(2 + 2), middling()
    y = net(x).argmax(1)
    w, z = net[1].weight.data, net(x).detach()
    truth = (z.gather(1, y.unsqueeze(1)).squeeze(1) - z[:, 3]) / (w[y] - w[3]).norm(dim=1)  # at least, for class 3
    found = attack(net, x, y, INDEX)
    aimed = y != 3
    assert (net(found).argmax(1)[aimed] == 3).all()
    assert torch.equal(found[~aimed], x[~aimed])
    assert (ball.distance(found - x, "l2")[aimed] >= truth[aimed] * (1 - 1e-4)).all()


@pytest.mark.parametrize("kind", [DeepFool, CarliniWagner])
def test_a_bound_gives_back_what_is_farther(kind):
    net, x = curved(), middling()
    y = net(x).argmax(1)
    free = kind(steps=100)(net, x, y, INDEX)
    size = ball.distance(free - x, "l2")
    eps = size.median().item()
    bound = kind(eps=eps, steps=100)(net, x, y, INDEX)
    assert verify(x, bound, eps=eps, norm="l2").changed == (size <= eps).sum()
    assert torch.equal(bound[size > eps], x[size > eps])
    assert torch.equal(bound[size <= eps], free[size <= eps])


@pytest.mark.parametrize("target", [None, "all"])
def test_the_confidence_that_is_asked_for_is_given_and_costs_distance(target):
    net, x = curved(), middling()
    y = net(x).argmax(1)
    size = []
    for confidence in (0.0, 0.2):
        attack = CarliniWagner(steps=60, searches=6, confidence=confidence, target=target)
        found = attack(net, x, y, INDEX)
        assert (margin(net(found).detach(), y) <= -confidence).all()
        size.append(ball.distance(found - x, "l2"))
    assert (size[1] > size[0]).all()
    lame = CarliniWagner(steps=30, searches=4, confidence=50.0)
    assert torch.equal(lame(net, x, y, INDEX), x)  # more than this net is ever sure of


def test_carlini_and_wagner_find_nothing_farther_than_deepfool():
    net, x = curved(), middling()
    y = net(x).argmax(1)
    fool, optimized = (ball.distance(kind(steps=100)(net, x, y, INDEX) - x, "l2") for kind in (DeepFool, CarliniWagner))
    assert (optimized <= fool * 1.01).float().mean() > 0.95


def test_carlini_and_wagner_go_far_at_the_full_rate_before_they_come_near(monkeypatch):
    net, x, _ = learned(nn.Flatten(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))
    y, index, mean = net(x).argmax(1), torch.arange(len(x)), {}
    for cooling in (carlini.COOLING, 1.0):
        monkeypatch.setattr(carlini, "COOLING", cooling)
        found = CarliniWagner(steps=60, searches=5)(net, x, y, index)
        mean[cooling] = ball.distance(found - x, "l2").mean().item()
    assert mean[0.5] < 0.9 * mean[1.0]


def test_an_example_that_is_wrong_already_is_at_distance_zero():
    net, x = curved(), middling()
    y = (net(x).argmax(1) + 1) % 5
    assert torch.equal(DeepFool()(net, x, y, INDEX), x)


def test_a_constant_net_has_no_border():
    x = middling()
    y = torch.zeros(COUNT, dtype=torch.long)
    for kind in (DeepFool, CarliniWagner):
        assert torch.equal(kind(steps=3)(lambda x: torch.eye(4)[y], x, y, INDEX), x)
