"""The attacks that `attacks.py` compares: each of ours and of the libraries that have it, with the same settings.

A maker takes the net and a size, and returns for each side a function from pictures and classes to pictures. The peers
are imported when a maker is called: they live in an environment of their own.
"""

from collections.abc import Callable
from typing import Any

STEPS, OVERSHOOT = 40, 0.02
SEARCHES, OPTIMIZED, RATE, WEIGHT = 6, 100, 0.05, 0.01  # Carlini and Wagner: steps of each search, first weight
QUERIES, WALKED = 1000, 100  # Square; APGD

Act = Callable[..., Any]
Sides = dict[str, Act]


def pgd(net: Any, eps: float) -> Sides:
    """Return projected gradient descent: a random start, 40 steps of 2.5 eps / 40."""
    from dlcli.attacks.pgd import PGD

    return walks(net, eps, own(net, PGD(eps=eps, steps=STEPS, stop=True)), random_start=True)


def still(net: Any, eps: float) -> Sides:
    """Return the same from the clean picture: all sides must end at the same one.

    Ours goes on with log-odds where a net is so sure that cross-entropy is rounded: there the ways part.
    """
    from dlcli.attacks.pgd import PGD

    ends = Ends(net)
    walk = own(ends, PGD(eps=eps, steps=STEPS, random_start=False))

    def ours(x: Any, y: Any) -> Any:
        walk(x, y)  # which returns the best picture of the way, and the peers the last
        return ends.last

    return walks(net, eps, ours, random_start=False)


def walks(net: Any, eps: float, ours: Act, random_start: bool) -> Sides:
    """Return projected gradient descent of the peers beside ours."""
    import foolbox
    import torchattacks

    theirs = torchattacks.PGD(net, eps=eps, alpha=2.5 * eps / STEPS, steps=STEPS, random_start=random_start)
    fool = foolbox.attacks.LinfPGD(rel_stepsize=2.5 / STEPS, steps=STEPS, random_start=random_start)
    return {"ours": ours, "torchattacks": detached(theirs), "foolbox": fooled(net, fool, eps)}


def deepfool(net: Any, eps: float) -> Sides:
    """Return DeepFool: l2 of any size, at most 50 steps, overshoot 0.02."""
    import foolbox
    import torchattacks

    from dlcli.attacks.deepfool import DeepFool

    return {
        "ours": own(net, DeepFool(overshoot=OVERSHOOT)),
        "torchattacks": detached(torchattacks.DeepFool(net, steps=50, overshoot=OVERSHOOT)),
        "foolbox": fooled(net, foolbox.attacks.L2DeepFoolAttack(steps=50, overshoot=OVERSHOOT), None),
    }


def carlini(net: Any, eps: float) -> Sides:
    """Return Carlini and Wagner's attack: l2 of any size, six searches of 100 steps of Adam.

    torchattacks searches for no weight, so that it has one, of 1, and all 600 steps at once.
    """
    import foolbox
    import torchattacks

    from dlcli.attacks.carlini import CarliniWagner

    fool = foolbox.attacks.L2CarliniWagnerAttack(
        binary_search_steps=SEARCHES, steps=OPTIMIZED, stepsize=RATE, initial_const=WEIGHT, abort_early=False
    )
    return {
        "ours": own(net, CarliniWagner(steps=OPTIMIZED, searches=SEARCHES, rate=RATE, weight=WEIGHT)),
        "torchattacks": detached(torchattacks.CW(net, c=1, steps=SEARCHES * OPTIMIZED, lr=RATE)),
        "foolbox": fooled(net, fool, None),
    }


def square(net: Any, eps: float) -> Sides:
    """Return the Square attack in l2, 1,000 queries; foolbox has none."""
    import torchattacks

    from dlcli.attacks.square import Square

    theirs = torchattacks.Square(net, norm="L2", eps=eps, n_queries=QUERIES, seed=0)
    return {"ours": own(net, Square(norm="l2", eps=eps, queries=QUERIES, stop=True)), "torchattacks": detached(theirs)}


def apgd(net: Any, eps: float) -> Sides:
    """Return APGD in l2 on cross-entropy, 100 steps from one random start; foolbox has none."""
    import torchattacks

    from dlcli.attacks.apgd import APGD

    theirs = torchattacks.APGD(net, norm="L2", eps=eps, steps=WALKED, seed=0)
    return {"ours": own(net, APGD(norm="l2", eps=eps, steps=WALKED, stop=True)), "torchattacks": detached(theirs)}


def autoattack(net: Any, eps: float) -> Sides:
    """Return AutoAttack in its standard form; foolbox has none."""
    import torchattacks

    from dlcli.attacks.ensemble import AutoAttack

    theirs = torchattacks.AutoAttack(net, norm="Linf", eps=eps, version="standard", n_classes=10, seed=0)
    return {"ours": own(net, AutoAttack(eps=eps)), "torchattacks": detached(theirs)}


class Ends:
    """A net that remembers what it was asked last."""

    def __init__(self, net: Any) -> None:
        self.net, self.last = net, None

    def __call__(self, x: Any) -> Any:
        self.last = x.detach()
        return self.net(x)


def own(net: Any, attack: Any) -> Act:
    """Return one of our attacks on a net."""
    import torch

    return lambda x, y: attack(net, x, y, torch.arange(len(x)))


def detached(attack: Any) -> Act:
    """Return an attack of torchattacks, which knows its net."""
    return lambda x, y: attack(x, y).detach()


def fooled(net: Any, attack: Any, eps: float | None) -> Act:
    """Return an attack of foolbox on a net; without a size it looks for the smallest change."""
    import foolbox

    model = foolbox.PyTorchModel(net, bounds=(0, 1), device="cpu")
    return lambda x, y: attack(model, x, y, epsilons=eps)[1]


MAKERS: dict[str, Callable[[Any, float], Sides]] = {
    "PGD-40": pgd, "DeepFool": deepfool, "PGD-40-still": still, "CW": carlini, "Square-l2": square, "APGD-l2": apgd,
    "AutoAttack": autoattack,
}  # fmt: skip
SIZES = {"Square-l2": 1.5, "APGD-l2": 1.5}  # unless told; of the others 0.1
NEAREST = ("DeepFool", "CW")  # which look for the smallest change
