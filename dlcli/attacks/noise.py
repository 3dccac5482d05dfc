"""Random noise of the full size: the control of every evaluation.

A net that noise can fool is not robust, and an attack that finds less than noise is broken (Carlini et al. 2019,
arXiv:1902.06705).
"""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from dlcli.attacks import ball
from dlcli.attacks.best import Best, Cases
from dlcli.attacks.objective import Classifier, read
from dlcli.attacks.threat import Attack, demand_counts


@dataclass(frozen=True, kw_only=True)
class Noise(Attack):
    """Draw noise from the surface of the ball `draws` times and keep what hurts each example most."""

    norms: ClassVar[tuple[str, ...]] = ("linf", "l2", "l1")
    gradients: ClassVar[bool] = False

    draws: int = 1

    def __post_init__(self) -> None:
        """Refuse values out of range."""
        super().__post_init__()
        demand_counts(self, draws=10)

    def search(self, classifier: Classifier, cases: Cases) -> Tensor:
        """Return the noisy pictures of lowest margin."""
        best = Best(cases.x, torch.full(cases.y.shape, torch.inf, device=cases.x.device), self.stop)
        for draw in range(self.draws):
            rows = best.open()
            if not len(rows):
                break
            part = cases.at(rows)
            noisy = ball.surface(part.x, self.eps, self.norm, self.seed, draw, part.numbers)
            best.offer(rows, noisy, part.margin(read(classifier, noisy)))
        return best.x
