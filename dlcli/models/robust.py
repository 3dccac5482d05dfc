"""Adversarial training: learn from the worst pictures that an attack finds around those of the batch.

    min_w  E max_{|d| <= eps} CE(net_w(x + d), y)

The attack decides which training it is: one step (Goodfellow et al. 2015, arXiv:1412.6572), one step from a random
start (Wong, Rice & Kolter 2020, arXiv:2001.03994), or many (Madry et al. 2018, arXiv:1706.06083). The goal decides what
is descended: the loss of the worst case, or that of TRADES (models/trades.py).

While the attack searches, the model is in eval mode. So the net that is attacked is the one that will answer: batch
norm uses its running means, which the pictures of the search do not enter, no example depends on its neighbours, and no
dropout blurs the gradient. What is learned from is then read in train mode, and shapes the running means. The attack
walks in single precision, but asks the net in the precision in which it learns.

x (B, C, H, W) in [0, 1], y (B,), logits (B, classes).
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dlcli.errors import ConfigError
from dlcli.model import Clock, Update
from dlcli.models.classifier import Classifier
from dlcli.models.supervised import one_class

MANY = 2**62  # examples are numbered anew in each step, so that every search starts elsewhere
Search = Callable[[Callable[[Tensor], Tensor], Tensor, Tensor], Tensor]  # (classifier, x, y) to pictures


@contextmanager
def evaluating(net: nn.Module) -> Iterator[None]:
    """Put a net into eval mode for a while; layers that were in eval mode before stay in it."""
    learning = [module for module in net.modules() if module.training]
    net.eval()
    try:
        yield
    finally:
        for module in learning:
            module.training = True


def as_learned(classifier: Callable[[Tensor], Tensor], device: str) -> Callable[[Tensor], Tensor]:
    """Return a classifier that answers in the precision of this moment, whatever an attack computes in."""
    half, kind = torch.is_autocast_enabled(device), torch.get_autocast_dtype(device)

    def answer(x: Tensor) -> Tensor:
        with torch.autocast(device, kind, enabled=half):
            return classifier(x)

    return answer


@dataclass(frozen=True, kw_only=True)
class WorstCase:
    """Descend the cross-entropy of adversarial pictures; a share `clean` of each batch is left as it is."""

    clean: float = 0.0

    def __post_init__(self) -> None:
        """Refuse shares out of range."""
        if not 0 <= self.clean < 1:
            raise ConfigError(f"model.goal.clean={self.clean} must be a share of the batch, at least 0 and below 1")

    def __call__(self, net: Callable[[Tensor], Tensor], x: Tensor, y: Tensor, search: Search) -> Tensor:
        """Return the loss of one batch."""
        kept = min(round(self.clean * len(x)), len(x) - 1)  # a small batch, too, has one to attack
        found = search(net, x[kept:], y[kept:])
        return F.cross_entropy(net(torch.cat([x[:kept], found])), y)


class Robust(Classifier):
    """Train a classifier against `attack`, measure it against `exam`, and keep the most robust weights."""

    monitor = "robust_accuracy"
    rising = Classifier.rising | {"robust_accuracy"}

    def __init__(
        self,
        *,
        net: nn.Module,
        classes: int,
        attack: Any,
        exam: Any,
        goal: Any,
        names: Sequence[str] | None = None,
        ramp: float = 0.0,
    ):
        super().__init__(net=net, classes=classes, names=names)
        if not 0 <= ramp <= 1:
            raise ConfigError(f"model.ramp={ramp} must be a share of the run, from 0 to 1")
        self.attack, self.exam, self.goal, self.ramp = attack, exam, goal, ramp

    def loss(self, batch: Any) -> Tensor:
        return self.goal(self, batch.x, one_class(batch.y), self.by(self.attack))

    def updates(self, batch: Any, clock: Clock) -> Iterator[Update]:
        attack = grown(self.attack, clock.progress / self.ramp) if self.ramp else self.attack
        yield Update(self.goal(self, batch.x, one_class(batch.y), self.by(attack)))

    def by(self, attack: Any) -> Search:
        """Return the search of an attack on this model; its random numbers follow from torch's stream."""

        def search(classifier: Callable[[Tensor], Tensor], x: Tensor, y: Tensor) -> Tensor:
            with evaluating(self):
                return attack(as_learned(classifier, x.device.type), x, y, torch.randint(MANY, (len(x),)))

        return search

    def measure(self, batch: Any) -> dict[str, Tensor]:
        found = self.by(self.exam)(self, batch.x, batch.y)
        return super().measure(batch) | {"robust": self(found).argmax(1) == batch.y}

    def score(self, measured: dict[str, Tensor]) -> dict[str, float]:
        held = measured["robust"] & (measured["logits"].argmax(1) == measured["truth"])
        return super().score(measured) | {"robust_accuracy": held.double().mean().item()}

    def show(self, batch: Any) -> dict[str, Tensor | str]:
        return super().show(batch) | {"adversarial": self.by(self.exam)(self, batch.x, batch.y)}


def grown(attack: Any, share: float) -> Any:
    """Return an attack of a share of its size, steps included; from a share of 1 on the attack itself."""
    if share >= 1:
        return attack
    stride = getattr(attack, "step_size", None)
    steps = {} if stride is None else {"step_size": max(share, 1e-6) * stride}
    return replace(attack, eps=share * attack.eps, **steps)
