"""The smallest Euclidean change, by optimizing the change itself (Carlini and Wagner 2017, arXiv:1608.04644).

    minimize |x' - x|_2^2 + c max(m(x') + k, 0)          x' = (tanh(w) + 1) / 2, which cannot leave [0, 1]

m is the margin, k the confidence that is asked for. Adam moves w; c is found for each example by halving: smaller
where it was won in the last quarter of the steps, larger where it was not. The first steps do not count: Adam makes
them as long for every c, so that they cross a border nearby however little c asks for it. Without a target it makes for
the class that leads there, which need not be the nearest: target=all tries them all. This is the picture of the
lectures: the change is optimized as if it were a parameter, by the same optimizer.
"""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from dlcli.attacks.best import Best, Cases
from dlcli.attacks.nearest import Nearest
from dlcli.attacks.objective import Classifier, slope
from dlcli.attacks.threat import demand, demand_counts

SQUEEZE = 0.999  # atanh is finite inside (-1, 1) only, and so flat near the ends that black and white would stay
FIRST, SECOND, FLOOR = 0.9, 0.999, 1e-8  # Adam's
LATE = 0.25  # of the steps
COOLING = 0.5  # of the steps, in which the rate falls to 0: the first half goes far, the second comes near


@dataclass(frozen=True, kw_only=True)
class CarliniWagner(Nearest):
    """Optimize change and class together, `searches` times with another weight between the two."""

    norms: ClassVar[tuple[str, ...]] = ("l2",)

    norm: str = "l2"
    steps: int = 200
    searches: int = 9
    rate: float = 0.05
    weight: float = 0.01
    confidence: float = 0.0

    def __post_init__(self) -> None:
        """Refuse values out of range."""
        super().__post_init__()
        demand_counts(self, steps=200, searches=9)
        for key in ("rate", "weight"):
            demand(0 < getattr(self, key) < float("inf"), key, getattr(self, key), "above 0", 0.01)
        demand(0 <= self.confidence < float("inf"), "confidence", self.confidence, "a margin of at least 0", 0)

    def wins(self, cases: Cases, logits: Tensor) -> Tensor:
        """Return a mask (B,) of the pictures whose margin is what was asked for."""
        return cases.margin(logits) < -self.confidence

    def approach(self, classifier: Classifier, cases: Cases, rows: Tensor, best: Best) -> None:
        """Search for the weight."""
        low, weight = torch.zeros_like(cases.y, dtype=torch.float), torch.full(cases.y.shape, self.weight)
        weight, high = weight.to(cases.x), torch.full_like(low, torch.inf)
        for _ in range(self.searches):
            won = self._optimize(classifier, cases, rows, best, weight)
            low, high = torch.where(won, low, weight), torch.where(won, weight, high)
            weight = torch.where(high.isinf(), 10 * weight, (low + high) / 2)

    def _optimize(self, classifier: Classifier, cases: Cases, rows: Tensor, best: Best, weight: Tensor) -> Tensor:
        """Run Adam from the clean picture; return a mask of the examples that were won late."""
        free = (2 * cases.x - 1).clamp(-SQUEEZE, SQUEEZE).atanh()
        first, second, won = torch.zeros_like(free), torch.zeros_like(free), torch.zeros_like(weight, dtype=torch.bool)
        for step in range(1, self.steps + 1):
            here = (free.tanh() + 1) / 2
            gradient, logits = slope(classifier, here, lambda logits: self._loss(logits, cases, weight))
            best.offer(rows, here, self.judge(cases, here, logits))
            won |= self.wins(cases, logits) & (step > (1 - LATE) * self.steps)
            gradient = (gradient + 2 * (here - cases.x)) * (1 - free.tanh() ** 2) / 2
            first = FIRST * first + (1 - FIRST) * gradient
            second = SECOND * second + (1 - SECOND) * gradient**2
            root = (second / (1 - SECOND**step)).sqrt() + FLOOR
            rate = self.rate * min(1, (1 - (step - 1) / self.steps) / COOLING)
            free = free - rate * first / (1 - FIRST**step) / root
        return won

    def _loss(self, logits: Tensor, cases: Cases, weight: Tensor) -> Tensor:
        return weight * (cases.margin(logits) + self.confidence).clamp(min=0)
