"""Mistakes that attack libraries made, planted here one by one: each must make a named check fail.

Together with those of test_attack_exams.py they cover signs, projections, walls, norms over the batch, wrong norms,
wrong rivals, lost successes, targets, ensembles, counting and the verifier itself.
"""

import dataclasses

import pytest
import torch
from arsenal import INDEX, configured, curved, linear, one_by_one, pictures, wins

from dlcli.attacks import ball, fab, few, objective, outcome, spatial, threat, verify, victim
from dlcli.attacks.apgd import APGD
from dlcli.attacks.best import Best
from dlcli.attacks.carlini import CarliniWagner
from dlcli.attacks.deepfool import DeepFool
from dlcli.attacks.ensemble import AutoAttack
from dlcli.attacks.fab import FAB
from dlcli.attacks.few import JSMA
from dlcli.attacks.hopskipjump import HopSkipJump
from dlcli.attacks.nearest import Nearest
from dlcli.attacks.nes import NES
from dlcli.attacks.pgd import PGD
from dlcli.attacks.square import Square
from dlcli.attacks.threat import Attack
from dlcli.errors import DlError

# ---- checks ----


def check_distances():
    """On a linear net with two classes and negative logits the distance is the gap over the length of the slope."""
    net, x = linear(2), pictures(0.4, 0.6)[:12]
    low = lambda x: net(x) - 20  # noqa: E731
    y = net(x).argmax(1)
    w, z = net[1].weight.data, net(x).detach()
    truth = (z[:, 0] - z[:, 1]).abs() / (w[0] - w[1]).norm()
    for attack in (DeepFool(), CarliniWagner(steps=80, searches=6), FAB(norm="l2", steps=10)):
        found = attack(low, x, y, INDEX[:12])
        assert wins(net, found, y).all(), attack
        size = ball.distance(found - x, "l2")
        assert (size <= truth * 1.05).all(), attack


def check_bound():
    """What is farther than the bound comes back as it was."""
    net, x = curved(), pictures()
    y = net(x).argmax(1)
    for option in ("deepfool", "fab"):
        attack = configured(option, net, eps=0.03)
        verify.verify(x, attack(net, x, y, INDEX), eps=0.03, norm=attack.norm)


def check_l1():
    """The sum of the changes stays within eps, and no pixel passes a wall."""
    net, x = curved(), pictures()
    found = PGD(eps=1.0, norm="l1", steps=8)(net, x, net(x).argmax(1), INDEX)
    assert verify.verify(x, found, eps=1.0, norm="l1").largest > 0.9


def check_neighbours():
    """Momentum does not mix the examples of a batch."""
    net, x = one_by_one(curved()), pictures()[:6]
    y, attack = net(x).argmax(1), PGD(eps=0.2, steps=4, momentum=1.0)
    whole = attack(net, x, y, INDEX[:6])
    alone = torch.cat([attack(net, x[i : i + 1], y[i : i + 1], INDEX[i : i + 1]) for i in range(6)])
    assert torch.equal(whole, alone)


def check_patience():
    """More queries never win less, and stopping at a success loses none."""
    net, x = curved(), pictures()
    y = net(x).argmax(1)
    few, more = (wins(net, Square(eps=0.15, queries=count)(net, x, y, INDEX), y) for count in (20, 80))
    assert more.sum() > few.sum()
    walk = PGD(eps=0.12, steps=8, step_size=0.1)
    first, last = (wins(net, dataclasses.replace(walk, stop=stop)(net, x, y, INDEX), y) for stop in (True, False))
    assert torch.equal(first, last)


def check_ensemble():
    """The whole wins whatever a part wins."""
    net, x = curved(), pictures()
    y = net(x).argmax(1)
    whole = AutoAttack(eps=0.08, steps=4, queries=10)
    won = wins(net, whole(net, x, y, INDEX), y)
    assert won.any()
    for part in whole.parts(5).values():
        assert not (wins(net, part(net, x, y, INDEX), y) & ~won).any()


def check_all_targets():
    """To aim at every class wins what aiming at any one of them wins."""
    net, x = curved(), pictures()
    y = net(x).argmax(1)
    won = wins(net, PGD(eps=0.1, steps=6, target="all")(net, x, y, INDEX), y)
    for target in range(5):
        one = PGD(eps=0.1, steps=6, target=target)(net, x, y, INDEX)
        assert not (wins(net, one, y) & ~won).any()


def check_targets():
    """A random target is another class, and every other class."""
    y = torch.arange(4).repeat(200)
    drawn = PGD(eps=0.1, target="random").targets(torch.zeros(800, 4), y, torch.arange(800))
    assert (drawn != y).all()
    assert len(torch.stack([y, drawn]).unique(dim=1).T) == 12


def check_nothing():
    """Size zero changes no bit, in every attack that has a size."""
    net, x = curved(), pictures()
    for option in ("pgd", "deepfool", "square", "autoattack"):
        assert torch.equal(configured(option, net, eps=0.0)(net, x, net(x).argmax(1), INDEX), x)


def check_own_steps():
    """APGD stays in the ball and wins at least what as many steps of one size win."""
    net, x = curved(), pictures()
    y = net(x).argmax(1)
    found = APGD(eps=0.25, norm="l2", steps=20)(net, x, y, INDEX)
    verify.verify(x, found, eps=0.25, norm="l2")
    assert wins(net, found, y).sum() >= wins(net, PGD(eps=0.25, norm="l2", steps=20)(net, x, y, INDEX), y).sum()


def check_places():
    """The most salient place is often enough."""
    net, x = curved(), pictures()
    y = net(x).argmax(1)
    assert wins(net, JSMA(eps=1)(net, x, y, INDEX), y).float().mean() > 0.5


def check_decisions():
    """Decisions alone lead along the border to nearer pictures, step by step."""
    net, x = linear(3), pictures(0.4, 0.6)[:12]
    y = net(x).argmax(1)
    first, last = (
        ball.distance(HopSkipJump(steps=steps, samples=30)(net, x, y, INDEX[:12]) - x, "l2") for steps in (1, 6)
    )
    assert (last / first).median() < 0.8


def check_turns():
    """A right angle and whole pixels are exact."""
    x = pictures()
    torch.testing.assert_close(spatial.turned(x, 90.0, 0, 0), x.rot90(1, (2, 3)), rtol=0, atol=1e-5)
    torch.testing.assert_close(spatial.turned(x, 0.0, 1, -2)[:, :, 1:, :2], x[:, :, :3, 2:], rtol=0, atol=1e-5)


def check_modes():
    """One layer in train mode is enough to mix the examples of a batch."""
    net = curved()
    assert not victim.training([net])
    net[1].train()
    assert victim.training([linear(), net])


def check_estimate():
    """Differences of outputs lead downhill."""
    net, x = linear(2), pictures(0.4, 0.6)
    y = net(x).argmax(1)
    gap = lambda x: objective.margin(net(x), y)  # noqa: E731
    found = NES(eps=0.02, steps=3, samples=20, random_start=False, loss="margin")(net, x, y, INDEX)
    assert (gap(found) < gap(x)).float().mean() > 0.9


def check_counting():
    """Success needs an example that was right; robust are those that were right and stay so."""
    eye = torch.eye(3)
    before, after, y = eye[[0, 0, 1]], eye[[1, 0, 2]], torch.tensor([0, 1, 2])
    found = outcome.outcome(before, after, y)
    assert found["attacked"] == 1
    assert found["success_rate"] == 1
    assert found["robust_accuracy"] == 0


def check_verifier():
    """Pixels that are no numbers, outside the box, too far, or in another order do not pass."""
    x = pictures()
    one = x.clone()
    one[0, 0, 0, 0] = (x[0, 0, 0, 0] + 0.5) % 1  # a single pixel goes too far
    for moved in (x + torch.nan, torch.where(x == x.max(), 1.00001, x), x.flip(0), one):
        with pytest.raises(DlError):
            verify.verify(x, moved, eps=0.1, norm="linf")


CHECKS = {name[6:]: function for name, function in list(globals().items()) if name.startswith("check_")}


@pytest.mark.parametrize("name", CHECKS)
def test_our_attacks_pass(name):
    CHECKS[name]()


# ---- mistakes ----


def masked_by_zero(logits, y, target, rival):
    """Take the rival among the logits times zero where they are the own: wrong when all are negative."""
    label = (y if target is None else target).unsqueeze(1)
    own = logits.gather(1, label).squeeze(1)
    lead = own - rival(logits.scatter(1, label, 0.0))
    return lead if target is None else -lead


def one_search(self, classifier, cases, rows, found):
    """Trust the first weight that wins."""
    self._optimize(classifier, cases, rows, found, torch.full(cases.y.shape, 100.0))


def the_change(self, classifier, cases):
    return (honest["search"](self, classifier, cases) - cases.x).abs()


def never_far(self, classifier, cases):
    return honest["search"](dataclasses.replace(self, eps=None), classifier, cases)


def batch_sum(gradient):
    return gradient / gradient.abs().sum() * (1 + gradient.abs().max())


def project_as_l2(moved, x, eps, norm):
    return honest["project"](moved, x, eps, "l2" if norm == "l1" else norm)


def project_without_walls(moved, x, eps, norm):
    if norm != "l1":
        return honest["project"](moved, x, eps, norm)
    delta = moved - x
    return x + delta * (eps / ball.per_example(delta.abs().flatten(1).sum(1), x).clamp(min=eps))


def lose_the_success(self, rows, candidates, value):
    going = value >= 0
    if self.stop:
        honest["offer"](self, rows[going], candidates[going], value[going])
        return going
    return honest["offer"](self, rows, candidates, value)


def any_class(self, logits, y, index):
    return torch.randint(0, logits.shape[1], y.shape, generator=torch.Generator().manual_seed(0))


def aim_at_one(logits, y):
    return honest["rivals"](logits, y)[:, -1:]


def never_nothing(self, classifier, x, y, index):
    return honest["call"](dataclasses.replace(self, eps=self.eps or 1e-3), classifier, x, y, index)


def uphill(self, classifier, here, cases, step):
    gradient, logits = honest["estimate"](self, classifier, here, cases, step)
    return -gradient, logits


def beyond_the_ball(self, walk, gradient, x, follow):
    """Take the last of the two steps without projecting it."""
    before = walk.here
    honest["move"](self, walk, gradient, x, follow)
    walk.here = (walk.here + 0.25 * (before - walk.before) + 0.5 * (walk.here - before)).clamp(0, 1)


def generous(before, after, y, target=None):
    found = honest["outcome"](before, after, y, target)
    return found | {"attacked": len(y), "success_rate": (after.argmax(1) != y).float().mean().item()}


def robust_anyhow(before, after, y, target=None):
    return honest["outcome"](before, after, y, target) | {"robust_accuracy": (after.argmax(1) == y).float().mean()}


def comparing(bad, values, what, rule):
    """Compare the largest value only, as NaN never is larger."""
    if "finite" not in rule and bool(bad.any()) and "lie" not in rule:
        raise DlError(what)


honest = {
    "search": Nearest.search,
    "project": ball.project,
    "offer": Best.offer,
    "rivals": threat.rivals,
    "call": Attack.__call__,
    "estimate": NES._slope,
    "move": APGD._move,
    "salient": few.slope,
    "feel": HopSkipJump._feel,
    "turned": spatial.turned,
    "outcome": outcome.outcome,
}
MISTAKES = {  # what is put where, and the check that has to notice
    "rival masked by zero": (objective, "_lead", masked_by_zero, "distances"),
    "no search for the weight": (CarliniWagner, "approach", one_search, "distances"),
    "change for picture": (Nearest, "search", the_change, "distances"),
    "too far all the same": (Nearest, "search", never_far, "bound"),
    "momentum over the batch": (ball, "unit_sum", batch_sum, "neighbours"),
    "l1 projected as l2": (ball, "project", project_as_l2, "l1"),
    "l1 through the walls": (ball, "project", project_without_walls, "l1"),
    "success lost on stopping": (Best, "offer", lose_the_success, "patience"),
    "ensemble of one": (AutoAttack, "_in_turn", lambda self, net, cases: (cases.x, cases.y), "ensemble"),
    "one target for all": (threat, "rivals", aim_at_one, "all_targets"),
    "target may be true": (Attack, "targets", any_class, "targets"),
    "nothing is something": (Attack, "__call__", never_nothing, "nothing"),
    "estimate uphill": (NES, "_slope", uphill, "estimate"),
    "wrong ones are successes": (outcome, "outcome", generous, "counting"),
    "robust though wrong before": (outcome, "outcome", robust_anyhow, "counting"),
    "verifier blind to NaN and walls": (verify, "_forbid", comparing, "verifier"),
    "verifier of another norm": (verify, "_distance", lambda change, *rest: change.abs().mean(1), "verifier"),
    "momentum out of the ball": (APGD, "_move", beyond_the_ball, "own_steps"),
    "short of the border": (fab, "BEYOND", 0.9, "distances"),
    "squares without paint": (Square, "_painted_linf", lambda self, here, *rest: here, "patience"),
    "saliency upside down": (few, "slope", lambda *given: (-honest["salient"](*given)[0], None), "places"),
    "feels its way back": (HopSkipJump, "_feel", lambda *given: -honest["feel"](*given), "decisions"),
    "down for across": (spatial, "turned", lambda x, a, down, across: honest["turned"](x, a, across, down), "turns"),
    "mode of the whole alone": (victim, "training", lambda nets: any(net.training for net in nets), "modes"),
    "gradient step outward": (DeepFool, "_step", lambda self, gaps, slopes: -0.1 * slopes[:, 0].sign(), "distances"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_caught(name, monkeypatch):
    place, key, value, check = MISTAKES[name]
    monkeypatch.setattr(place, key, value)
    with pytest.raises((AssertionError, DlError, pytest.fail.Exception)):
        CHECKS[check]()
