"""Signs that a net only looks robust: gradients that lead nowhere, and attacks that should have won.

Athalye et al. 2018, arXiv:1802.00420; Carlini et al. 2019, arXiv:1902.06705; the flags of AutoAttack (Croce and Hein
2020, arXiv:2003.01690). A check that fails is a warning about the evaluation, not about the net.
"""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, NamedTuple
from unittest import mock

import torch
from torch import Tensor

from dlcli.attacks.ensemble import AutoAttack
from dlcli.attacks.fgsm import FGSM
from dlcli.attacks.noise import Noise
from dlcli.attacks.objective import Classifier, cross_entropy, margin, read, slope
from dlcli.attacks.pgd import PGD
from dlcli.attacks.shared import Learned
from dlcli.attacks.square import Square
from dlcli.attacks.threat import MOST, Attack
from dlcli.attacks.walker import Walker

QUERIES = 200  # of the attack without gradients, for each target
DRAWS = 20  # of noise
MORE = 0.003  # share of the examples that may be won in addition by twice the effort
LATE, STILL = 0.25, 0.05  # the last part of a walk, and the share of the whole way down that it may still go
CERTAIN = 0.99  # share of a twin's examples that is as good as all


class Check(NamedTuple):
    """The result of one check."""

    name: str
    passed: bool
    finding: str


def masking(
    classifier: Classifier,
    x: Tensor,
    y: Tensor,
    index: Tensor,
    attack: Attack,
    x_adv: Tensor,
    twin: Classifier | None = None,
) -> list[Check]:
    """Check an attack `x_adv` of pictures `x` for masked gradients; a batch of some hundred examples is enough.

    A twin is a classifier of the same kind without the defence.
    """
    with torch.no_grad(), torch.autocast(x.device.type, enabled=False):
        x, y, index = x.float(), y.to(x.device), index.to(x.device)
        logits = read(classifier, x)
        target = attack.targets(logits, y, index)
        left = margin(read(classifier, x_adv.to(x)), y, target) > 0  # the attack did not win these
    found = [slopes(classifier, x, y), logits_not_shares(logits), repeats(classifier, x), static(classifier, x)]
    if twin is not None:
        found.append(wins_there(twin, x, y, index, attack, 1 - left.float().mean().item()))
    if attack.norm not in ("linf", "l2", "l1") or attack.bound == float("inf"):
        return found  # nothing to compare with
    rest = (x[left], y[left], index[left])
    for name, weak in weaker(attack):
        found.append(finds_no_more(name, weak, classifier, *rest, len(x)))
    if isinstance(attack, Walker) and attack.gradients:
        found.append(levels_off(classifier, x, y, index, attack))
    if attack.norm in ("linf", "l2"):
        found.append(unbounded(classifier, x, y, index, attack))
    return found


def weaker(attack: Attack) -> Iterator[tuple[str, Attack]]:
    """Yield the attacks that an attack should beat, or that should add next to nothing, with the names of the checks.

    One without gradients, or with one change for all pictures, need beat noise only.
    """
    threat: dict[str, Any] = {"norm": attack.norm, "target": attack.target, "seed": attack.seed, "stop": True}
    yield "noise", Noise(**threat, eps=attack.bound, draws=DRAWS)
    if not attack.gradients or isinstance(attack, Learned):
        return
    if attack.norm in FGSM.norms:
        yield "one step", FGSM(**threat, eps=attack.bound)
        aims = MOST if attack.target == "all" else 1
        yield "no gradients", Square(**threat, eps=attack.bound, queries=QUERIES * aims)
    if isinstance(attack, AutoAttack):
        return  # which is itself the answer to weak attacks
    yield "smaller eps", replace(attack, eps=attack.bound / 2, stop=True)
    for key in ("steps", "restarts"):
        count = getattr(attack, key, None)
        if count is not None and (key == "steps" or getattr(attack, "random_start", True)):
            yield f"twice the {key}", replace(attack, **{key: 2 * count}, stop=True)


def slopes(classifier: Classifier, x: Tensor, y: Tensor) -> Check:
    """Every picture has a gradient to follow."""
    gradient, _ = slope(classifier, x, lambda logits: cross_entropy(logits, y))
    flat = int((gradient.flatten(1).abs().amax(1) == 0).sum())
    return Check("gradients", flat == 0, f"{flat} of {len(x)} pictures have a zero gradient")


def logits_not_shares(logits: Tensor) -> Check:
    """The outputs are logits, not probabilities, which saturate."""
    shares = bool((logits >= 0).all()) and torch.allclose(logits.sum(1), torch.ones(len(logits)).to(logits), atol=1e-5)
    return Check("logits", not shares, "the outputs sum to one" if shares else "the outputs are not probabilities")


@torch.no_grad()
def repeats(classifier: Classifier, x: Tensor) -> Check:
    """The net answers the same five times; a random one needs gradients averaged over its randomness."""
    answers = torch.stack([read(classifier, x) for _ in range(5)])
    spread = (answers - answers[0]).abs().max().item()
    return Check("repeatable", spread <= 1e-4, f"five answers differ by up to {spread:.2g}")


def static(classifier: Classifier, x: Tensor) -> Check:
    """The net computes no gradients of its own: one that optimizes within its answer changes as it is attacked."""
    with gradients_counted() as count, torch.no_grad():
        read(classifier, x[:2])
    found = f"{count[0]} gradients are computed within an answer" if count[0] else "no gradients within an answer"
    return Check("static", count[0] == 0, found)


@contextmanager
def gradients_counted() -> Iterator[list[int]]:
    """Count calls of autograd while the context lasts."""
    count = [0]

    def counting(act: Any) -> Any:
        def counted(*given: Any, **named: Any) -> Any:
            count[0] += 1
            return act(*given, **named)

        return counted

    autograd = torch.autograd
    with (
        mock.patch.object(autograd, "grad", counting(autograd.grad)),
        mock.patch.object(autograd, "backward", counting(autograd.backward)),
    ):
        yield count


@torch.no_grad()
def finds_no_more(
    name: str, weak: Attack, classifier: Classifier, x: Tensor, y: Tensor, index: Tensor, count: int
) -> Check:
    """Another attack wins nothing, or next to nothing, of the pictures that the attack left; `count` were attacked."""
    more = 0
    if len(x):
        target = weak.targets(read(classifier, x), y, index)
        more = int((margin(read(classifier, weak(classifier, x, y, index)), y, target) < 0).sum())
    allowed = MORE * count if name.startswith("twice") else 0
    return Check(name, more <= allowed, f"{type(weak).__name__} wins {more} of {len(x)} examples left by the attack")


class Watched:
    """A classifier that remembers the margins of its answers, 0 for those that are won."""

    def __init__(self, classifier: Classifier, y: Tensor, target: Tensor | None):
        self.classifier, self.y, self.target, self.margins = classifier, y, target, list[Tensor]()

    def __call__(self, x: Tensor) -> Tensor:
        logits = self.classifier(x)
        self.margins.append(margin(logits.detach().float(), self.y, self.target).clamp(min=0))
        return logits


@torch.no_grad()
def levels_off(classifier: Classifier, x: Tensor, y: Tensor, index: Tensor, attack: Walker) -> Check:
    """The walk has come to its end: what it pushes down falls no more when the steps run out."""
    one = replace(attack, restarts=1, stop=False, target=None if attack.target == "all" else attack.target)
    watched = Watched(classifier, y, one.targets(read(classifier, x), y, index))
    one(watched, x, y, index)
    curve = torch.stack(watched.margins).cummin(0).values.mean(1)
    whole, late = (curve[0] - curve[-1]).item(), (curve[-1 - math.ceil(LATE * len(curve))] - curve[-1]).item()
    share = late / whole if whole > 0 else 0.0
    return Check("plateau", share <= STILL, f"{share:.1%} of the way down falls to the last quarter of the steps")


@torch.no_grad()
def wins_there(twin: Classifier, x: Tensor, y: Tensor, index: Tensor, attack: Attack, here: float) -> Check:
    """The same attack wins more against a net without the defence, or all; `here` is the share that it wins."""
    target = attack.targets(read(twin, x), y, index)
    won = (margin(read(twin, attack(twin, x, y, index)), y, target) < 0).float().mean().item()
    return Check("twin", won > here or won >= CERTAIN, f"it wins {won:.1%} of the undefended twin's, {here:.1%} here")


@torch.no_grad()
def unbounded(classifier: Classifier, x: Tensor, y: Tensor, index: Tensor, attack: Attack) -> Check:
    """Without a bound every picture can become any other, so that no more than chance is left."""
    whole = 1.0 if attack.norm == "linf" else x[0].numel() ** 0.5
    free = PGD(eps=whole, norm=attack.norm, seed=attack.seed, step_size=whole / 10, steps=20, loss="margin", stop=True)
    logits = read(classifier, free(classifier, x, y, index))
    left, chance = (logits.argmax(1) == y).float().mean().item(), 1 / logits.shape[1]
    return Check("unbounded", left <= chance, f"accuracy {left:.1%} without a bound, where chance is {chance:.1%}")
