"""The nearest adversarial picture from decisions alone (Chen et al. 2020, arXiv:1904.02144): HopSkipJump.

All that is asked for is whether a picture is adversarial, p(x) = +-1. From one that is, halving leads to the border.
There the direction away from the clean picture's class is estimated from n decisions,

    v = sum_b (p(x + s u_b) - mean p) u_b          u_b: directions of unit length; linf: then the sign of v

with s = |x - x_0| (linf: / sqrt(d)) where the paper has |x - x_0| / d, d the number of pixels: fifty decisions at a
border that is known to 1/4096 of the way tell directions better from farther off. After six steps the median distance
of 16 digits from a LeNet-5 was 3.1 instead of 4.2, in linf 0.22 instead of 0.37. Then a step of |x - x_0| / sqrt(t),
halved until it ends in an adversarial picture, leaves the border, and halving goes back to it, nearer to the clean
picture. It begins at pictures of other classes (one of each, from other examples) and noise.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import torch
from torch import Tensor

from dlcli.attacks import ball
from dlcli.attacks.best import Best, Cases
from dlcli.attacks.nearest import Nearest, between
from dlcli.attacks.objective import Classifier, read
from dlcli.attacks.randomness import normal, uniform
from dlcli.attacks.threat import demand, demand_counts

NOISES, HALVINGS, SHORTEST = 10, 12, 10
STREAM = 1 << 24  # beyond those of the starts


@dataclass(frozen=True, kw_only=True)
class HopSkipJump(Nearest):
    """Walk along the border, feeling for its direction with `samples` decisions, more and more of them."""

    gradients: ClassVar[bool] = False

    norm: str = "l2"
    steps: int = 20
    samples: int = 50
    change: Tensor | None = None  # (K, C, H, W) pictures to begin at; found, never given

    def __post_init__(self) -> None:
        """Refuse values out of range."""
        super().__post_init__()
        demand_counts(self, steps=20)
        demand(self.samples >= 2, "samples", self.samples, "at least 2", 50)

    def fitted(self, classifier: Classifier, batches: Iterable[Any]) -> "HopSkipJump":
        """Return the attack with a picture of each class to begin at."""
        found: dict[int, Tensor] = {}
        for batch in batches:
            for label, picture in zip(batch.y.tolist(), batch.x, strict=True):
                found.setdefault(label, picture.float())
        return replace(self, change=torch.stack([found[label] for label in sorted(found)]))

    def approach(self, classifier: Classifier, cases: Cases, rows: Tensor, best: Best) -> None:
        """Find a start for each example, then walk."""
        self._begin(classifier, cases, rows, best)
        there = best.value[rows] < torch.inf
        rows, cases = rows[there], cases.at(there)
        if not len(rows):
            return
        here = self._border(classifier, cases, best.x[rows])
        for step in range(1, self.steps + 1):
            way = self._feel(classifier, cases, here, step)
            here = self._border(classifier, cases, self._leap(classifier, cases, here, way, step))
            self.offer(classifier, cases, rows, best, here)

    def _begin(self, classifier: Classifier, cases: Cases, rows: Tensor, best: Best) -> None:
        """Offer pictures of other classes, and noise."""
        for start in [] if self.change is None else self.change.to(cases.x):
            self.offer(classifier, cases, rows, best, start.expand_as(cases.x))
        for draw in range(NOISES):
            noise = uniform(self.seed, draw, cases.numbers, cases.x[0].numel()).view_as(cases.x)
            self.offer(classifier, cases, rows, best, noise)

    def _border(self, classifier: Classifier, cases: Cases, found: Tensor) -> Tensor:
        """Return adversarial pictures at the border, on the way to the clean ones."""
        low, high = torch.zeros(len(found), device=found.device), torch.ones(len(found), device=found.device)
        for _ in range(HALVINGS):
            middle = (low + high) / 2
            won = decided(classifier, cases, self._drawn(cases.x, found, middle))
            low, high = torch.where(won, low, middle), torch.where(won, middle, high)
        return self._drawn(cases.x, found, high)

    def _drawn(self, x: Tensor, found: Tensor, share: Tensor) -> Tensor:
        """Return what is left of a change when it is drawn in: a shorter way, or a smaller cube."""
        if self.norm == "l2":
            return between(x, found, share)
        size = ball.per_example(share * ball.distance(found - x, "linf"), x)
        return torch.minimum(torch.maximum(found, x - size), x + size).clamp(0, 1)

    def _feel(self, classifier: Classifier, cases: Cases, here: Tensor, step: int) -> Tensor:
        """Return the direction in which pictures become adversarial."""
        size, total, mean = here[0].numel(), torch.zeros_like(here), torch.zeros_like(here)
        near = ball.per_example(ball.distance(here - cases.x, self.norm), here)
        spread = near / (size**0.5 if self.norm == "l2" else size) + 1e-6
        count, decisions = round(self.samples * math.sqrt(step)), torch.zeros(len(here), device=here.device)
        for draw in range(count):
            stream = STREAM + step * (1 << 16) + draw
            way = ball.direction(normal(self.seed, stream, cases.numbers, size).view_as(here), "l2")
            way = ((here + spread * size**0.5 * way).clamp(0, 1) - here) / (spread * size**0.5)
            decision = 2 * decided(classifier, cases, here + spread * size**0.5 * way).float() - 1
            total, mean, decisions = total + ball.per_example(decision, here) * way, mean + way, decisions + decision
        whole = total - ball.per_example(decisions / count, here) * mean
        same = decisions.abs() == count  # all of one kind: then their plain mean leads
        return ball.direction(torch.where(ball.per_example(same, here), total, whole), self.norm)

    def _leap(self, classifier: Classifier, cases: Cases, here: Tensor, way: Tensor, step: int) -> Tensor:
        """Return the pictures after the longest step that ends in an adversarial one, or as they were."""
        stride, there = ball.distance(here - cases.x, self.norm) / math.sqrt(step), here
        open_ = torch.ones_like(stride, dtype=torch.bool)
        for _ in range(SHORTEST):
            tried = (here + ball.per_example(stride, here) * way).clamp(0, 1)
            won = open_ & decided(classifier, cases, tried)
            there = torch.where(ball.per_example(won, here), tried, there)
            open_, stride = open_ & ~won, stride / 2
        return there


def decided(classifier: Classifier, cases: Cases, x: Tensor) -> Tensor:
    """Return whether the net's decisions (B,) are what the attack wants; no other output is looked at."""
    answer = read(classifier, x).argmax(1)
    return answer != cases.y if cases.target is None or cases.loose else answer == cases.target
