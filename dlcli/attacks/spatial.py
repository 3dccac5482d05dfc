"""Turning and shifting (Engstrom et al. 2019, arXiv:1712.02779): natural changes, which no norm of pixels measures.

Every picture is turned by angles from -degrees to degrees and moved by whole pixels from -shift to shift in both
directions; each keeps its worst case. What comes in from outside is black. Outputs are all that is asked for.
"""

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from dlcli.attacks.best import Best, Cases
from dlcli.attacks.objective import Classifier, read
from dlcli.attacks.threat import Attack, demand, demand_counts


@dataclass(frozen=True, kw_only=True)
class Spatial(Attack):
    """Try every turn and shift of a grid; `eps` is the share of both that is allowed."""

    norms: ClassVar[tuple[str, ...]] = ("none",)
    gradients: ClassVar[bool] = False

    eps: float = 1.0
    norm: str = "none"
    degrees: float = 30.0
    shift: int = 3
    turns: int = 31
    shifts: int = 5

    def __post_init__(self) -> None:
        """Refuse values out of range."""
        super().__post_init__()
        demand(0 <= self.degrees <= 180, "degrees", self.degrees, "an angle from 0 to 180", 30)
        demand(self.shift >= 0, "shift", self.shift, "a number of pixels of at least 0", 3)
        demand_counts(self, turns=31, shifts=5)

    def search(self, classifier: Classifier, cases: Cases) -> Tensor:
        """Return the pictures of lowest margin."""
        best = Best(cases.x, cases.margin(read(classifier, cases.x)), self.stop)
        for angle, down, across in self.grid():
            rows = best.open()
            if not len(rows):
                break
            part = cases.at(rows)
            candidates = turned(part.x, angle, down, across)
            best.offer(rows, candidates, part.margin(read(classifier, candidates)))
        return best.x

    def grid(self) -> Iterator[tuple[float, int, int]]:
        """Yield angle and shifts, each once."""
        angles = (
            torch.linspace(-self.degrees, self.degrees, self.turns) * self.eps if self.turns > 1 else torch.zeros(1)
        )
        steps = torch.linspace(-self.shift, self.shift, self.shifts) * self.eps if self.shifts > 1 else torch.zeros(1)
        yield from dict.fromkeys(
            itertools.product(angles.tolist(), (int(d) for d in steps.round()), (int(d) for d in steps.round()))
        )


def turned(x: Tensor, angle: float, down: int, across: int) -> Tensor:
    """Return pictures turned counterclockwise by degrees, then moved by whole pixels."""
    height, width = x.shape[2:]
    cos, sin = math.cos(math.radians(angle)), math.sin(math.radians(angle))
    # affine_grid asks where each pixel of the result comes from, in units of half the picture
    matrix = torch.tensor([[cos, -sin * height / width, 0.0], [sin * width / height, cos, 0.0]], device=x.device)
    shift = torch.tensor([-2 * across / width, -2 * down / height], device=x.device)
    matrix[:, 2] = matrix[:, :2] @ shift
    places = F.affine_grid(matrix.expand(len(x), -1, -1), list(x.shape), align_corners=False)
    return F.grid_sample(x, places, align_corners=False).clamp(0, 1)
