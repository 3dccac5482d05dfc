"""Gradients from outputs alone (Ilyas et al. 2018, arXiv:1804.08598): NES.

    g = 1 / (n s) sum_i (L(x + s u_i) - L(x - s u_i)) u_i          u_i: normal, i = 1 .. n / 2

With this estimate the walk is that of projected gradient descent, with `samples` queries for each step and one more for
the picture itself; of a net that answers at random, `eot` times as many. It asks about pictures in [0, 1] only.
"""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from dlcli.attacks.best import Cases
from dlcli.attacks.objective import LOSSES, Classifier, read
from dlcli.attacks.pgd import PGD
from dlcli.attacks.randomness import normal
from dlcli.attacks.threat import demand

STREAM = 1 << 24  # beyond those of random starts


@dataclass(frozen=True, kw_only=True)
class NES(PGD):
    """Walk down a gradient that was estimated from differences of outputs."""

    gradients: ClassVar[bool] = False
    norms: ClassVar[tuple[str, ...]] = ("linf", "l2")

    samples: int = 50
    spread: float = 0.01

    def __post_init__(self) -> None:
        """Refuse values out of range."""
        super().__post_init__()
        demand(self.samples >= 2, "samples", self.samples, "at least 2, one pair", 50)
        demand(0 < self.spread < float("inf"), "spread", self.spread, "a distance above 0", 0.01)

    def _slope(self, classifier: Classifier, here: Tensor, cases: Cases, step: int) -> tuple[Tensor, Tensor]:
        total, loss = torch.zeros_like(here), LOSSES[self.loss]
        for pair in range(self.samples // 2):
            stream = STREAM + step * self.samples + pair
            way = normal(self.seed, stream, cases.numbers, here[0].numel()).view_as(here)
            both = ((here + sign * self.spread * way).clamp(0, 1) for sign in (1, -1))
            up, down = (loss(read(classifier, x, self.eot), cases.y, cases.target) for x in both)
            total += (up - down).view(-1, *[1] * (here.ndim - 1)) * way
        return total, read(classifier, here, self.eot)
