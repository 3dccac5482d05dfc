"""What holds for every attack of the config, and how strong they are against each other and against closed forms."""

import dataclasses
import itertools
import random

import pytest
import torch
from arsenal import COUNT, INDEX, OPTIONS, configured, curved, linear, one_by_one, pictures, wins
from torch import nn

from dlcli.attacks import ball
from dlcli.attacks.apgd import APGD, checkpoints
from dlcli.attacks.best import Cases
from dlcli.attacks.ensemble import AutoAttack
from dlcli.attacks.fab import FAB
from dlcli.attacks.few import JSMA, OnePixel
from dlcli.attacks.nes import NES
from dlcli.attacks.noise import Noise
from dlcli.attacks.pgd import PGD
from dlcli.attacks.plane import onto
from dlcli.attacks.spatial import Spatial, turned
from dlcli.attacks.square import Square, hill, hill_and_hollow
from dlcli.attacks.verify import verify
from dlcli.errors import ConfigError

LEARNED = {"patch", "universal"}  # one change for all pictures
ALONE = LEARNED | {"fgsm", "fgm_l2", "spatial"}  # nothing to stop


class Counting:
    """A classifier that counts the pictures it is shown, and those whose gradient was asked for."""

    def __init__(self, net):
        self.net, self.shown, self.differentiated = net, 0, 0

    def __call__(self, x):
        self.shown += len(x)
        self.differentiated += len(x) if x.requires_grad else 0
        return self.net(x)


@pytest.mark.parametrize("option", OPTIONS)
def test_every_attack_stays_within_its_threat_model(option):
    net, x = curved(), pictures()
    y = net(x).argmax(1)
    for target in (None, 2):
        built = configured(option, net) if target is None else None
        if target is not None:
            if option == "autoattack":
                continue
            built = configured(option, net, target=target)
        found = built(net, x, y, INDEX)
        verdict = verify(x, found, eps=built.bound, norm=built.norm)
        assert verdict.examples == COUNT
        if target is not None:
            assert torch.equal(found[y == 2], x[y == 2])


@pytest.mark.parametrize("option", OPTIONS)
def test_no_example_depends_on_its_neighbours(option):
    net, x = one_by_one(curved()), pictures()[:8]
    y, index = net(x).argmax(1), INDEX[:8]
    order = torch.tensor(random.Random(0).sample(range(8), 8))
    built = configured(option, net)
    for stop in (False, True):
        attack = dataclasses.replace(built, stop=stop)
        whole = attack(net, x, y, index)
        assert torch.equal(whole[order], attack(net, x[order], y[order], index[order]))
        alone = torch.cat([attack(net, x[i : i + 1], y[i : i + 1], index[i : i + 1]) for i in range(8)])
        torch.testing.assert_close(whole, alone, rtol=0, atol=1e-6)


@pytest.mark.parametrize("option", [option for option in OPTIONS if option not in ALONE])
def test_to_stop_at_a_success_wins_the_same_examples_at_less_cost(option):
    net, x = one_by_one(curved()), pictures()
    y = net(x).argmax(1)
    built = configured(option, net)
    whole, short = Counting(net), Counting(net)
    patient = dataclasses.replace(built, stop=False)(whole, x, y, INDEX)
    hasty = dataclasses.replace(built, stop=True)(short, x, y, INDEX)
    assert torch.equal(wins(net, patient, y), wins(net, hasty, y))
    assert short.shown <= whole.shown


@pytest.mark.parametrize("option", ["noise", "onepixel", "spatial", "square", "nes", "hopskipjump"])
def test_attacks_without_gradients_ask_for_none(option):
    net = Counting(curved())
    x = pictures()
    built = configured(option, net)
    assert not built.gradients
    built(net, x, net(x).argmax(1), INDEX)
    assert net.differentiated == 0


def test_queries_are_kept_to():
    net, x = Counting(lambda x: torch.eye(4)[[0]].expand(len(x), -1)), pictures()
    Square(eps=0.1, queries=30)(net, x, torch.zeros(COUNT, dtype=torch.long), INDEX)
    assert net.shown == 30 * COUNT


@pytest.mark.parametrize("target", ["least", "random", 2, "all"])
def test_targets_share_the_queries(target):
    net, x = Counting(lambda x: torch.eye(12)[[0]].expand(len(x), -1)), pictures()
    y = torch.zeros(COUNT, dtype=torch.long)
    Square(eps=0.1, queries=50, target=target)(net, x, y, INDEX)
    spent = 1 + 9 * (49 // 9) if target == "all" else 50
    assert net.shown == spent * COUNT
    with pytest.raises(ConfigError, match=r"attack\.queries=2 must be at least (3|28) with target="):
        Square(eps=0.1, queries=2, target=target)(net, x, y, INDEX)


def test_finished_examples_are_not_computed_any_more():
    net, x = Counting(curved()), pictures()
    y = (net(x).argmax(1) + (INDEX % 2)) % 5  # every other one is wrong from the beginning
    for kind in (
        lambda **more: PGD(steps=10, **more),
        lambda **more: APGD(steps=10, **more),
        lambda **more: Square(queries=30, **more),
    ):
        net.shown = 0
        kind(eps=1e-4, stop=True)(net, x, y, INDEX)
        wrong = net.shown
        net.shown = 0
        kind(eps=1e-4)(net, x, y, INDEX)
        assert wrong < 0.6 * net.shown  # all were looked at once


def test_one_gradient_attack_after_the_other_on_a_linear_net_finds_what_can_be_found():
    """In linf the other class is at distance |gap| / |w|_1, in l2 at |gap| / |w|_2; walls are far away."""
    net, x = linear(2), pictures(0.4, 0.6)
    y = net(x).argmax(1)
    w, gap = net[1].weight.data[0] - net[1].weight.data[1], (net(x)[:, 0] - net(x)[:, 1]).abs().detach()
    for norm, dual in (("linf", w.abs().sum()), ("l2", w.norm())):
        distance = gap / dual
        eps = distance.median().item() * 1.01
        for attack in (
            *(PGD(eps=eps, norm=norm, loss=loss) for loss in ("cross_entropy", "margin")),
            PGD(eps=eps, norm=norm, momentum=0.9, steps=20),
            PGD(eps=eps, norm=norm, random_start=False, steps=10),
            APGD(eps=eps, norm=norm),
            AutoAttack(eps=eps, norm=norm, steps=30, queries=50),
        ):
            won = wins(net, attack(net, x, y, INDEX), y)
            assert not (won & (distance > eps)).any(), attack
            assert won[distance < 0.97 * eps].all(), attack


def test_l1_reaches_the_optimum_of_the_knapsack():
    """In l1 with walls the best attack pushes the pixels of largest weight to the wall, one after the other."""
    net, x = linear(2), pictures()
    y = net(x).argmax(1)
    w = net[1].weight.data
    slope = torch.where((y == 0).unsqueeze(1), w[1] - w[0], w[0] - w[1])  # (B, pixels), towards the other class
    room = torch.where(slope > 0, 1 - x.flatten(1), x.flatten(1))
    order = slope.abs().argsort(dim=1, descending=True)
    for eps in (0.3, 1.0, 2.0):
        spent = room.gather(1, order).cumsum(1)
        used = (room.gather(1, order) - (spent - eps).clamp(min=0)).clamp(min=0)
        best = (used * slope.abs().gather(1, order)).sum(1)
        found = PGD(eps=eps, norm="l1", steps=100, loss="margin")(net, x, y, INDEX)
        gain = ((found - x).flatten(1) * slope).sum(1)
        assert (gain <= best * 1.0001).all()
        assert (gain >= 0.95 * best).all()


def test_apgd_is_at_least_as_strong_as_pgd_with_as_many_steps():
    net, x = curved(), pictures()
    y = net(x).argmax(1)
    for norm, eps in (("linf", 0.06), ("l2", 0.25)):
        plain = wins(net, PGD(eps=eps, norm=norm, steps=50)(net, x, y, INDEX), y).sum()
        assert wins(net, APGD(eps=eps, norm=norm, steps=50)(net, x, y, INDEX), y).sum() >= plain


def test_the_intervals_of_apgd():
    assert sorted(checkpoints(100)) == [22, 41, 57, 70, 80, 87, 93, 99]


def test_apgd_counts_each_step_that_ends_lower_than_it_began(monkeypatch):
    """Of 10, 12, 11 the second step goes down, though 10 was lower."""
    losses, counts = itertools.chain([10.0, 12.0, 11.0], itertools.repeat(11.0)), []

    def look(self, classifier, here, cases):
        return torch.full((len(here),), next(losses)), torch.ones_like(here), classifier(here)

    def check(self, walk, gradient, steps):
        counts.append((steps, walk.better.tolist()))
        return gradient

    monkeypatch.setattr(APGD, "_look", look)
    monkeypatch.setattr(APGD, "_check", check)
    APGD(eps=0.1, steps=9)(curved(), pictures()[:2], torch.zeros(2, dtype=torch.long), INDEX[:2])
    assert counts[0] == (2, [1, 1])


def test_hills_are_those_of_the_paper():
    """Squares around the middle, one in the other, each 1 / (size)^2 higher."""
    for rows, columns in ((3, 5), (4, 7), (1, 3)):
        expected = torch.zeros(rows, columns)
        for reach in range(max(rows, columns) // 2 + 1):
            top, left = max(rows // 2 - reach, 0), max(columns // 2 - reach, 0)
            expected[top : rows // 2 + reach + 1, left : columns // 2 + reach + 1] += 1 / (reach + 1) ** 2
        torch.testing.assert_close(hill(rows, columns), expected / expected.norm())
    whole = hill_and_hollow(7)
    assert (whole[:3] > 0).all()
    assert (whole[3:] < 0).all()
    assert whole.norm().item() == pytest.approx(1)


def test_square_in_l2_begins_with_tiles_and_moves_length_within_each_channel():
    x, eps = torch.full((COUNT, 3, 10, 10), 0.5), 0.5
    cases = Cases(x, torch.zeros(COUNT, dtype=torch.long), None, INDEX)
    square = Square(eps=eps, norm="l2")
    start = square._start(cases)
    torch.testing.assert_close(ball.distance(start - x, "l2"), torch.full((COUNT,), eps), rtol=0, atol=1e-5)
    tile = (start - x)[0, 0, 2:4, 4:6]  # one of the 5 x 5
    assert tile.sign().abs().sum() == 4
    assert tile.sign().sum() == 0
    painted = square._painted_l2(start, cases, 7, 5)
    per_channel = lambda z: (z - x).flatten(2).norm(dim=2)  # noqa: E731
    torch.testing.assert_close(per_channel(painted), per_channel(start), rtol=0, atol=1e-4)
    moved = (painted - start).abs() > 1e-6
    assert (moved.any(1).flatten(1).sum(1) <= 50).all()  # two squares of 5 x 5
    assert {square._side(query, x) % 2 for query in range(0, 5000, 250)} == {1}
    assert square._side(4999, x) == 3


@pytest.mark.parametrize(
    ("option", "size"), [("apgd_t", 0.05), ("pgd", 0.05), ("square", 0.01), ("onepixel", 1.0), ("deepfool", 0.1)]
)
def test_a_picture_on_the_way_to_a_target_counts_whatever_its_class(option, size):
    """Aimed at all classes in turn, an attack wins whatever it has seen the net get wrong."""
    net, x, seen = curved(sharpness=10), pictures(), []
    y = net(x).argmax(1)
    watched = lambda z: (seen.append(z.detach()), net(z))[1]  # noqa: E731
    attack = configured(option, net, target="all", eps=size)
    for i in range(COUNT):
        seen.clear()
        one = x[i : i + 1]
        found = attack(watched, one, y[i : i + 1], INDEX[i : i + 1])
        allowed = torch.cat(seen)
        allowed = allowed[ball.distance(allowed - one, attack.norm) <= attack.eps + 1e-6]
        assert wins(net, found, y[i]).item() == wins(net, allowed, y[i]).any().item()


def test_autoattack_wins_whatever_its_parts_win():
    net, x = curved(), pictures()
    y = net(x).argmax(1)
    whole = AutoAttack(eps=0.08, steps=20, queries=100)
    won = wins(net, whole(net, x, y, INDEX), y)
    parts = whole.parts(5)
    assert list(parts) == ["apgd-ce", "apgd-t", "fab-t", "square"]
    for name, part in parts.items():
        assert not (wins(net, part(net, x, y, INDEX), y) & ~won).any(), name
    assert 0 < won.sum() < COUNT
    assert [part.loss for name, part in whole.parts(3).items() if name == "apgd-t"] == ["margin"]


def test_fab_finds_the_true_distances_on_a_linear_net():
    net, x = linear(), pictures(0.4, 0.6)
    y = net(x).argmax(1)
    z, w = net(x).detach(), net[1].weight.data
    for norm, dual in (("linf", 1), ("l2", 2)):
        slope = (w[y].unsqueeze(1) - w).norm(p=dual, dim=2)
        truth = ((z.gather(1, y.unsqueeze(1)) - z) / slope).scatter(1, y.unsqueeze(1), torch.inf).amin(1)
        size = ball.distance(FAB(norm=norm, steps=10)(net, x, y, INDEX) - x, norm)
        assert (size >= truth * (1 - 1e-4)).all()
        assert (size <= truth * 1.02).all()


def test_a_change_onto_a_plane_is_the_smallest_within_the_box():
    x, slope = torch.tensor([[[[0.5, 0.9]]]]), torch.tensor([[[[1.0, 2.0]]]])
    change = onto(x, slope, torch.tensor([-0.5]), "l2")  # 2 d_2 <= 0.2 by the wall, the rest by d_1
    torch.testing.assert_close(change, torch.tensor([[[[0.3, 0.1]]]]), rtol=0, atol=1e-4)
    change = onto(x, slope, torch.tensor([-0.25]), "linf")
    torch.testing.assert_close(change, torch.tensor([[[[0.25 / 3, 0.25 / 3]]]]), rtol=0, atol=1e-4)


def test_hopskipjump_comes_near_what_gradients_find():
    net, x = linear(3), pictures(0.4, 0.6)
    y = net(x).argmax(1)
    z, w = net(x).detach(), net[1].weight.data
    slope = (w[y].unsqueeze(1) - w).norm(dim=2)
    truth = ((z.gather(1, y.unsqueeze(1)) - z) / slope).scatter(1, y.unsqueeze(1), torch.inf).amin(1)
    attack = configured("hopskipjump", net, quick=False, eps=None, steps=10)
    size = ball.distance(attack(net, x, y, INDEX) - x, "l2")
    assert (size >= truth * (1 - 1e-4)).all()
    assert (size / truth).median() < 1.3


def test_square_and_nes_win_most_of_what_pgd_wins():
    net, x = curved(), pictures()
    y = net(x).argmax(1)
    for norm, eps in (("linf", 0.12), ("l2", 0.5)):
        white = wins(net, PGD(eps=eps, norm=norm)(net, x, y, INDEX), y).sum()
        for attack in (Square(eps=eps, norm=norm, queries=500), NES(eps=eps, norm=norm, loss="margin")):
            black = wins(net, attack(net, x, y, INDEX), y).sum()
            noise = wins(net, Noise(eps=eps, norm=norm)(net, x, y, INDEX), y).sum()
            assert noise < black, attack
            assert black >= 0.7 * white, attack


def test_one_pixel_finds_what_trying_every_pixel_finds():
    net, x = curved(), pictures()
    y = net(x).argmax(1)
    values = torch.linspace(0, 1, 21)
    truth = torch.zeros(COUNT, dtype=torch.bool)
    for place in range(16):
        for value in values:
            tried = x.flatten(1).clone()
            tried[:, place] = value
            truth |= wins(net, tried.view_as(x), y)
    won = wins(net, OnePixel(eps=1)(net, x, y, INDEX), y)
    assert truth.sum() > 3
    assert not (won & ~truth).sum() > 1
    assert (truth & ~won).sum() <= 1


def test_jsma_needs_few_places_and_says_which():
    net, x = curved(), pictures()
    y = net(x).argmax(1)
    found = JSMA(eps=6, stop=True)(net, x, y, INDEX)
    assert wins(net, found, y).float().mean() > 0.8
    changed = ball.distance(found - x, "l0")
    assert changed.max() <= 6
    assert changed[wins(net, found, y)].mean() < 4
    assert ((found == x) | (found == 0) | (found == 1)).all()


def test_a_learned_change_is_the_same_for_all_and_beats_noise_on_pictures_it_has_not_seen():
    net, x = curved(), pictures(0.3, 0.7)
    y = net(x).argmax(1)
    built = configured("universal", net, quick=False, eps=0.25, passes=50)
    found = built(net, x, y, INDEX)
    torch.testing.assert_close(found - x, (found - x)[:1].expand_as(x), rtol=0, atol=1e-6)
    assert wins(net, found, y).sum() > wins(net, Noise(eps=0.25)(net, x, y, INDEX), y).sum()
    patched = configured("patch", net, quick=False, eps=9.0)(net, x, y, INDEX)
    assert ((patched - x).abs().flatten(1) > 0).sum(1).max() <= 9
    assert wins(net, patched, y).sum() > 5


def test_turning_by_a_right_angle_and_shifting_by_pixels_are_exact():
    x = pictures()
    torch.testing.assert_close(turned(x, 90.0, 0, 0), x.rot90(1, (2, 3)), rtol=0, atol=1e-5)
    torch.testing.assert_close(turned(x, 0.0, 1, -2)[:, :, 1:, :2], x[:, :, :3, 2:], rtol=0, atol=1e-5)
    torch.testing.assert_close(turned(x, 0.0, 0, 0), x, rtol=0, atol=1e-6)
    wide = torch.rand(2, 1, 3, 5)
    torch.testing.assert_close(turned(wide, 180.0, 0, 0), wide.flip(2, 3), rtol=0, atol=1e-5)


def test_the_grid_of_turns_holds_each_once():
    assert len(list(Spatial(turns=3, shifts=5, shift=1).grid())) == 3 * 3 * 3


def test_a_net_that_answers_at_random_is_attacked_through_its_mean():
    torch.manual_seed(0)
    net, x = linear(2), pictures(0.4, 0.6)
    y = net(x).argmax(1)
    noisy = lambda x: net(x + 0.5 * torch.randn_like(x))  # noqa: E731
    eps = 0.05
    gain = []
    for eot in (1, 30):
        found = PGD(eps=eps, steps=5, random_start=False, eot=eot)(noisy, x, y, INDEX)
        z = net(found).detach()
        gain.append((z.gather(1, 1 - y.unsqueeze(1)) - z.gather(1, y.unsqueeze(1))).mean())
    assert gain[1] > gain[0]


@pytest.mark.parametrize("kind", [PGD, APGD])
def test_a_mean_that_has_just_crossed_the_border_is_no_end(kind):
    """Nearly every single answer must be wrong; stopped by its first mean a walk leaves up to half of them right."""
    net, x = linear(2), pictures(0.3, 0.7)
    y, generator = net(x).argmax(1), torch.Generator().manual_seed(0)
    noisy = lambda x: net(x + 0.2 * torch.randn(x.shape, generator=generator))  # noqa: E731
    found = kind(eps=0.25, steps=30, eot=8, stop=True)(noisy, x, y, INDEX)
    right = torch.stack([noisy(found).argmax(1) == y for _ in range(100)])
    assert right.float().mean() < 0.02


def test_estimates_of_a_random_net_are_averaged_and_each_answer_is_a_query():
    net, x = curved(), pictures()
    y = net(x).argmax(1)
    for eot in (1, 3):
        counting = Counting(net)
        NES(eps=0.1, steps=2, samples=6, eot=eot)(counting, x, y, INDEX)
        assert counting.shown == COUNT * eot * (1 + 2 * 7 + 1)  # the clean picture, two steps, the last picture


def test_estimates_ask_about_pictures_only():
    net, x, seen = curved(), pictures().round(), []
    NES(eps=0.1, steps=2, samples=6)(lambda x: (seen.append(x), net(x))[1], x, net(x).argmax(1), INDEX)
    assert all(((part >= 0) & (part <= 1)).all() for part in seen)


def test_a_net_of_two_pixels_against_a_grid():
    """On two pixels a grid tells which examples can be won; APGD and AutoAttack win those and no others."""
    with torch.random.fork_rng():
        torch.manual_seed(5)
        net = nn.Sequential(nn.Flatten(), nn.Linear(2, 32), nn.ReLU(), nn.Linear(32, 3)).eval()
        net[1].weight.data *= 6
    x, eps = torch.rand(40, 1, 1, 2, generator=torch.Generator().manual_seed(6)), 0.15
    y, index = net(x).argmax(1), torch.arange(40)
    ticks = torch.linspace(-eps, eps, 301)
    offsets = torch.cartesian_prod(ticks, ticks)
    for norm in ("linf", "l2"):
        allowed = offsets if norm == "linf" else offsets[offsets.norm(dim=1) <= eps]
        with torch.no_grad():
            points = (x.view(-1, 1, 2) + allowed).clamp(0, 1)
            truth = (net[1:](points).argmax(2) != y.view(-1, 1)).any(1)
        for attack in (APGD(eps=eps, norm=norm, restarts=2), AutoAttack(eps=eps, norm=norm, steps=30, queries=100)):
            won = wins(net, attack(net, x, y, index), y)
            assert not (won & ~truth).any(), attack
            assert (truth & ~won).sum() <= 1, attack
