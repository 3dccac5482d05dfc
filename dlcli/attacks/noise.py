"""Random noise of the full size: the control of every evaluation.

A net that noise can fool is not robust, and an attack that finds less than noise is broken (Carlini et al. 2019,
arXiv:1902.06705).
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from dlcli.attacks import ball
from dlcli.attacks.objective import Classifier, margin, read
from dlcli.attacks.threat import Attack, demand


@dataclass(frozen=True, kw_only=True)
class Noise(Attack):
    """Draw noise from the surface of the ball `draws` times and keep what hurts each example most."""

    draws: int = 1

    def __post_init__(self) -> None:
        """Refuse values out of range."""
        super().__post_init__()
        demand(self.draws >= 1, "draws", self.draws, "at least 1", 10)

    def search(self, classifier: Classifier, x: Tensor, y: Tensor, target: Tensor | None, index: Tensor) -> Tensor:
        """Return the noisy pictures of lowest margin."""
        best, lowest = x, torch.full(y.shape, torch.inf, device=x.device)
        for draw in range(self.draws):
            noisy = ball.surface(x, self.eps, self.norm, self.seed, draw, index)
            value = margin(read(classifier, noisy), y, target)
            best = torch.where(ball.per_example(value < lowest, x), noisy, best)
            lowest = torch.minimum(value, lowest)
        return best
