"""Signs that a net only looks robust: gradients that lead nowhere, and attacks that should have won.

Athalye et al. 2018, arXiv:1802.00420; Carlini et al. 2019, arXiv:1902.06705; the flags of AutoAttack (Croce and Hein
2020, arXiv:2003.01690). A check that fails is a warning about the evaluation, not about the net.
"""

from typing import Any, NamedTuple

import torch
from torch import Tensor

from dlcli.attacks.fgsm import FGSM
from dlcli.attacks.noise import Noise
from dlcli.attacks.objective import Classifier, cross_entropy, margin, read, slope
from dlcli.attacks.pgd import PGD
from dlcli.attacks.threat import Attack


class Check(NamedTuple):
    """The result of one check."""

    name: str
    passed: bool
    finding: str


def masking(classifier: Classifier, x: Tensor, y: Tensor, index: Tensor, attack: Attack, x_adv: Tensor) -> list[Check]:
    """Check an attack `x_adv` of pictures `x` for masked gradients; a batch of some hundred examples is enough."""
    with torch.no_grad(), torch.autocast(x.device.type, enabled=False):
        x, y, index = x.float(), y.to(x.device), index.to(x.device)
        logits = read(classifier, x)
        target = attack.targets(logits, y, index)
        left = margin(read(classifier, x_adv.to(x)), y, target) > 0  # the attack did not win these
    threat: dict[str, Any] = {"eps": attack.eps, "norm": attack.norm, "target": attack.target, "seed": attack.seed}
    return [
        slopes(classifier, x, y),
        logits_not_shares(logits),
        repeats(classifier, x),
        finds_no_more("one step", FGSM(**threat), classifier, x, y, index, left),
        finds_no_more("noise", Noise(**threat, draws=20), classifier, x, y, index, left),
        unbounded(classifier, x, y, index, attack),
    ]


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


@torch.no_grad()
def finds_no_more(
    name: str, weak: Attack, classifier: Classifier, x: Tensor, y: Tensor, index: Tensor, left: Tensor
) -> Check:
    """A weaker attack wins nothing that the attack left."""
    target = weak.targets(read(classifier, x), y, index)
    won = left & (margin(read(classifier, weak(classifier, x, y, index)), y, target) < 0)
    more = int(won.sum())
    return Check(name, more == 0, f"{type(weak).__name__} wins {more} of {int(left.sum())} examples left by the attack")


@torch.no_grad()
def unbounded(classifier: Classifier, x: Tensor, y: Tensor, index: Tensor, attack: Attack) -> Check:
    """Without a bound every picture can become any other, so that no more than chance is left."""
    whole = 1.0 if attack.norm == "linf" else x[0].numel() ** 0.5
    free = PGD(eps=whole, norm=attack.norm, seed=attack.seed, step_size=whole / 10, steps=20, loss="margin")
    logits = read(classifier, free(classifier, x, y, index))
    left, chance = (logits.argmax(1) == y).float().mean().item(), 1 / logits.shape[1]
    return Check("unbounded", left <= chance, f"accuracy {left:.1%} without a bound, where chance is {chance:.1%}")
