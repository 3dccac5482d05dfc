"""Projected gradient descent from random starts (Madry et al. 2018, arXiv:1706.06083).

    x_{k+1} = P(x_k - a d(g_k))         P: projection on the ball around x and on [0, 1]; d: steepest direction

Of all pictures that a walk comes by, over all restarts, each example keeps the one with the lowest margin: the last is
not always the best. Without random starts it is the iterative attack of Kurakin et al. 2017, arXiv:1607.02533.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from dlcli.attacks import ball
from dlcli.attacks.objective import LOSSES, Classifier, margin, read, slope
from dlcli.attacks.threat import Attack, demand

REACH = 2.5  # steps of 2.5 eps / steps can cross the ball and walk along its surface


@dataclass(frozen=True, kw_only=True)
class PGD(Attack):
    """Walk down the loss in the ball, `restarts` times from random starts, and keep the best of each example."""

    steps: int = 40
    step_size: float | None = None
    restarts: int = 1
    random_start: bool = True
    loss: str = "cross_entropy"

    def __post_init__(self) -> None:
        """Refuse values out of range."""
        super().__post_init__()
        demand(self.steps >= 1, "steps", self.steps, "at least 1", 40)
        demand(self.restarts >= 1, "restarts", self.restarts, "at least 1", 5)
        sized = self.step_size is None or 0 < self.step_size < float("inf")
        demand(sized, "step_size", self.step_size, "above 0, or null for 2.5 eps / steps", "null")
        demand(self.random_start or self.restarts == 1, "restarts", self.restarts, "1 without random starts", 1)
        demand(self.loss in LOSSES, "loss", self.loss, " or ".join(LOSSES), "cross_entropy")

    def search(self, classifier: Classifier, x: Tensor, y: Tensor, target: Tensor | None, index: Tensor) -> Tensor:
        """Return the pictures of lowest margin."""
        best, lowest = x, margin(read(classifier, x), y, target)
        for restart in range(self.restarts):
            for candidate, logits in self._walk(classifier, x, y, target, self._start(x, restart, index)):
                value = margin(logits, y, target)
                better = value < lowest
                best = torch.where(ball.per_example(better, x), candidate, best)
                lowest = torch.where(better, value, lowest)
        return best

    def _start(self, x: Tensor, restart: int, index: Tensor) -> Tensor:
        """Return where a walk begins; the streams of a restart are its own."""
        return ball.inside(x, self.eps, self.norm, self.seed, 2 * restart, index) if self.random_start else x

    def _walk(
        self, classifier: Classifier, x: Tensor, y: Tensor, target: Tensor | None, here: Tensor
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield the pictures on the way with their logits."""
        stride = REACH * self.eps / self.steps if self.step_size is None else self.step_size
        for _ in range(self.steps):
            gradient, logits = slope(classifier, here, lambda logits: LOSSES[self.loss](logits, y, target))
            yield here, logits
            here = ball.project(here - stride * ball.direction(gradient, self.norm), x, self.eps, self.norm)
        yield here, read(classifier, here)
