"""Gradient descent that chooses its own steps (Croce and Hein 2020, arXiv:2003.01690): APGD.

    z       = P(x_k - h d(g_k))                                       h: begins at 2 eps
    x_{k+1} = P(x_k + 3/4 (z - x_k) + 1/4 (x_k - x_{k-1}))

At checkpoints, each example for itself: where fewer than 3/4 of the steps since the last one ended lower than they
began, or the lowest loss is what it was when h was last kept, h is halved and the walk goes on from the best picture so
far. As in PGD, what is returned is the picture of lowest margin.
"""

from dataclasses import dataclass, fields

import torch
from torch import Tensor

from dlcli.attacks import ball
from dlcli.attacks.best import Best, Cases
from dlcli.attacks.objective import LOSSES, Classifier, slope
from dlcli.attacks.walker import Walker

ENOUGH, FOLLOW = 0.75, 0.75  # share of steps that must improve; share of the new direction
FIRST, SHORTER, LEAST = 0.22, 0.03, 0.06  # of the steps: the first interval, by how much the next is shorter, the least


@dataclass
class Walk:
    """Where the walk of each example is; all fields have a row for each."""

    here: Tensor
    before: Tensor
    top: Tensor  # the picture of lowest loss
    top_gradient: Tensor
    lowest: Tensor  # its loss
    value: Tensor  # the loss here
    stride: Tensor
    better: Tensor  # steps downward since the last checkpoint
    mark: Tensor  # the lowest loss at the last checkpoint
    kept: Tensor  # whether the stride was kept there

    def at(self, rows: Tensor) -> "Walk":
        """Return the walks of some examples."""
        return Walk(*(getattr(self, field.name)[rows] for field in fields(self)))


@dataclass(frozen=True, kw_only=True)
class APGD(Walker):
    """Walk with steps that halve themselves, from random starts."""

    steps: int = 100

    def walk(self, classifier: Classifier, cases: Cases, rows: Tensor, restart: int, best: Best) -> None:
        """Offer the pictures on the way from one start."""
        walk, gradient, going = self._begin(classifier, cases, rows, restart, best)
        marks, last = checkpoints(self.steps), 0
        for step in range(1, self.steps + 1):
            rows, cases, walk, gradient = rows[going], cases.at(going), walk.at(going), gradient[going]
            if not len(rows):
                return
            self._move(walk, gradient, cases.x, 1.0 if step == 1 else FOLLOW)
            value, gradient, logits = self._look(classifier, walk.here, cases)
            going = best.offer(rows, walk.here, cases.margin(logits))
            walk.better += value < walk.value
            walk.value = value
            improved = value < walk.lowest
            walk.lowest = torch.where(improved, value, walk.lowest)
            walk.top = torch.where(ball.per_example(improved, walk.here), walk.here, walk.top)
            walk.top_gradient = torch.where(ball.per_example(improved, gradient), gradient, walk.top_gradient)
            if step in marks:
                gradient = self._check(walk, gradient, step - last)
                last = step

    def _begin(
        self, classifier: Classifier, cases: Cases, rows: Tensor, restart: int, best: Best
    ) -> tuple[Walk, Tensor, Tensor]:
        """Return the walks at their random starts, the gradients there, and a mask of those that go on."""
        here = ball.inside(cases.x, self.eps, self.norm, self.seed, 2 * restart, cases.numbers)
        value, gradient, logits = self._look(classifier, here, cases)
        going = best.offer(rows, here, cases.margin(logits))
        none = torch.zeros_like(value)
        stride = none + 2 * self.eps
        walk = Walk(here, here, here, gradient, value, value, stride, none.clone(), value.clone(), none.bool())
        return walk, gradient, going

    def _look(self, classifier: Classifier, here: Tensor, cases: Cases) -> tuple[Tensor, Tensor, Tensor]:
        """Return loss (B,), gradient and logits."""
        loss = LOSSES[self.loss]
        gradient, logits = slope(classifier, here, lambda z: loss(z, cases.y, cases.target), self.eot)
        return loss(logits, cases.y, cases.target), gradient, logits

    def _move(self, walk: Walk, gradient: Tensor, x: Tensor, follow: float) -> None:
        """Take a step."""
        way = ball.per_example(walk.stride, x) * ball.direction(gradient, self.norm)
        straight = ball.project(walk.here - way, x, self.eps, self.norm)
        moved = walk.here + follow * (straight - walk.here) + (1 - follow) * (walk.here - walk.before)
        walk.before, walk.here = walk.here, ball.project(moved, x, self.eps, self.norm)

    def _check(self, walk: Walk, gradient: Tensor, steps: int) -> Tensor:
        """Halve the strides that are too long, and go back to the best there; return the gradients to go on with."""
        stuck = (walk.better < ENOUGH * steps) | (walk.kept & (walk.lowest >= walk.mark))
        walk.stride = torch.where(stuck, walk.stride / 2, walk.stride)
        back = ball.per_example(stuck, walk.here)
        walk.here = torch.where(back, walk.top, walk.here)
        walk.before = torch.where(back, walk.top, walk.before)
        walk.value = torch.where(stuck, walk.lowest, walk.value)
        walk.kept, walk.mark, walk.better = ~stuck, walk.lowest.clone(), torch.zeros_like(walk.better)
        return torch.where(back, walk.top_gradient, gradient)


def checkpoints(steps: int) -> set[int]:
    """Return the steps at which strides are looked at: intervals that become shorter."""
    interval, at, marks = FIRST, FIRST, set[int]()
    while at <= 1:
        marks.add(max(1, round(at * steps)))
        interval = max(interval - SHORTER, LEAST)
        at += interval
    return marks
