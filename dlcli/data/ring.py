"""Mixtures of narrow normal distributions in the plane, on which a generator that forgets modes is caught.

A ring of 8, radius 2, standard deviation 0.02 (Metz et al. 2017, arXiv:1611.02163), and a grid of 5 x 5, 2 apart,
standard deviation 0.05 (Srivastava et al. 2017, arXiv:1705.07761). The data state their centres, `modes` (K, 2), and
the standard deviation about each, `spread`.
"""

import math
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Generator, Tensor

from dlcli.batch import Table
from dlcli.data.facts import class_facts
from dlcli.data.points import Points
from dlcli.data.splits import Splits
from dlcli.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class Mixture(Points):
    """Points about centres, `noise` wide, as many of each; the class of a point is its centre."""

    def centres(self) -> Tensor:
        """Return the centres, (K, 2)."""
        raise NotImplementedError

    def load(self, root: Path) -> Splits:
        """Draw three splits; `root` is not needed. Raises ConfigError."""
        if self.noise <= 0:
            raise ConfigError(f"noise={self.noise}: a mode without width is a point; set data.source.noise above 0")
        splits = super().load(root)
        return splits._replace(facts=splits.facts | {"modes": self.centres().tolist(), "spread": self.noise})

    def draw(self, generator: Generator) -> Table:
        """Return points (N, 2) of the modes in turn."""
        centres = self.centres()
        y = torch.arange(self.samples) % len(centres)
        return Table(self.jitter(centres[y], generator), y)

    def answers(self, y: Tensor) -> dict:
        """Return the facts on as many classes as there are modes."""
        return class_facts([f"mode {mode}" for mode in range(len(self.centres()))])


@dataclass(frozen=True, kw_only=True)
class Ring(Mixture):
    """Lay `count` centres on a circle."""

    count: int = 8
    radius: float = 2.0

    def centres(self) -> Tensor:
        """Return the centres, (count, 2), counterclockwise from the right."""
        angle = torch.arange(self.count) * (2 * math.pi / self.count)
        return self.radius * torch.stack([angle.cos(), angle.sin()], 1)


@dataclass(frozen=True, kw_only=True)
class Grid(Mixture):
    """Lay `side` x `side` centres on a square grid about the origin, `gap` apart."""

    side: int = 5
    gap: float = 2.0

    def centres(self) -> Tensor:
        """Return the centres, (side * side, 2), row by row."""
        line = self.gap * (torch.arange(self.side) - (self.side - 1) / 2)
        return torch.cartesian_prod(line, line)
