"""Projected gradient descent from random starts (Madry et al. 2018, arXiv:1706.06083).

    v_{k+1} = m v_k + g_k / |g_k|_1             m: momentum; without it v is the gradient g itself
    x_{k+1} = P(x_k - a d(v_{k+1}))             P: projection on the ball around x and on [0, 1]; d: steepest direction

Of all pictures that a walk comes by, over all restarts, each example keeps the one with the lowest margin: the last is
not always the best. Without random starts it is the iterative attack of Kurakin et al. 2017, arXiv:1607.02533 (BIM);
with momentum that of Dong et al. 2018, arXiv:1710.06081 (MI-FGSM). Steps in l1 move the few pixels that matter most
(Tramer and Boneh 2019, arXiv:1904.13000). A net that answers at random is attacked by its mean over `eot` answers
(Athalye et al. 2018, arXiv:1707.07397).
"""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from dlcli.attacks import ball
from dlcli.attacks.best import Best, Cases
from dlcli.attacks.objective import LOSSES, Classifier, read, slope
from dlcli.attacks.threat import demand
from dlcli.attacks.walker import Walker

REACH = 2.5  # steps of 2.5 eps / steps can cross the ball and walk along its surface


@dataclass(frozen=True, kw_only=True)
class PGD(Walker):
    """Walk with steps of one size, from random starts unless told otherwise."""

    norms: ClassVar[tuple[str, ...]] = ("linf", "l2", "l1")

    step_size: float | None = None
    random_start: bool = True
    momentum: float = 0.0

    def __post_init__(self) -> None:
        """Refuse values out of range."""
        super().__post_init__()
        sized = self.step_size is None or 0 < self.step_size < float("inf")
        demand(sized, "step_size", self.step_size, "above 0, or null for 2.5 eps / steps", "null")
        demand(self.random_start or self.restarts == 1, "restarts", self.restarts, "1 without random starts", 1)
        demand(0 <= self.momentum <= 1, "momentum", self.momentum, "a share of the way before, from 0 to 1", 0.9)

    @property
    def stride(self) -> float:
        """The length of a step."""
        return REACH * self.eps / self.steps if self.step_size is None else self.step_size

    def walk(self, classifier: Classifier, cases: Cases, rows: Tensor, restart: int, best: Best) -> None:
        """Offer the pictures on the way from one start; the random numbers of a restart are its own."""
        here = cases.x
        if self.random_start:
            here = ball.inside(cases.x, self.eps, self.norm, self.seed, 2 * restart, cases.numbers)
        velocity = torch.zeros_like(here)
        for step in range(self.steps):
            gradient, logits = self._slope(classifier, here, cases, restart * self.steps + step)
            going = best.offer(rows, here, cases.margin(logits))
            if not going.all():
                rows, cases, here = rows[going], cases.at(going), here[going]
                gradient, velocity = gradient[going], velocity[going]
            if not len(rows):
                return
            velocity = self._velocity(velocity, gradient)
            here = self._moved(here, velocity, cases.x)
        best.offer(rows, here, cases.margin(read(classifier, here, self.eot)))

    def _slope(self, classifier: Classifier, here: Tensor, cases: Cases, step: int) -> tuple[Tensor, Tensor]:
        return slope(classifier, here, lambda logits: LOSSES[self.loss](logits, cases.y, cases.target), self.eot)

    def _velocity(self, velocity: Tensor, gradient: Tensor) -> Tensor:
        """Return what the next step follows."""
        return self.momentum * velocity + ball.unit_sum(gradient) if self.momentum else gradient

    def _moved(self, here: Tensor, velocity: Tensor, x: Tensor) -> Tensor:
        """Return the pictures after a step."""
        return ball.project(ball.step(here, velocity, self.stride, self.norm), x, self.eps, self.norm)
