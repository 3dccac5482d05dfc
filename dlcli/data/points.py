"""Small sets made by formula: they need no files, and what a net should find in them is known.

Training, validation and test split are three draws of `samples` rows each. The draws depend on `split_seed`;
what is common to the three (centres, half-spaces) comes from it, too. N rows, D features.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Generator, Tensor

from dlcli.batch import Table
from dlcli.data.facts import class_facts, table_facts, target_facts
from dlcli.data.splits import Splits
from dlcli.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class Points:
    """What all formulas share: three draws, and facts from the first."""

    samples: int = 400
    noise: float = 0.1
    split_seed: int = 0

    names = ("0", "1")  # of the classes

    def load(self, root: Path) -> Splits:
        """Draw three splits; `root` is not needed."""
        if self.samples < 1 or self.noise < 0:
            raise ConfigError(
                f"samples={self.samples}, noise={self.noise}: at least one sample and noise of 0 or more are needed"
            )
        train, valid, test = (self.draw(torch.Generator().manual_seed(3 * self.split_seed + part)) for part in range(3))
        return Splits(train, valid, test, table_facts(train.x) | self.answers(train.y))

    def draw(self, generator: Generator) -> Table:
        """Return `samples` rows."""
        raise NotImplementedError

    def answers(self, y: Tensor) -> dict:
        """Return the facts on what is predicted."""
        return class_facts(self.names)

    def jitter(self, x: Tensor, generator: Generator) -> Tensor:
        """Add Gaussian noise of standard deviation `noise`."""
        return x + self.noise * torch.randn(x.shape, generator=generator)


@dataclass(frozen=True, kw_only=True)
class XOR(Points):
    """Four corners of a square, opposite ones of the same class; `samples=4 noise=0` is the truth table."""

    names = ("equal", "different")

    def draw(self, generator: Generator) -> Table:
        """Return points about (0, 0), (0, 1), (1, 0), (1, 1) in turn."""
        corner = torch.arange(self.samples) % 4
        first, second = corner // 2, corner % 2
        return Table(self.jitter(torch.stack([first, second], 1).float(), generator), first ^ second)


@dataclass(frozen=True, kw_only=True)
class Parity:
    """All 2^bits words and whether their ones are odd in number; each split is the whole truth table.

    The set asks what a net can represent (a shallow one may need exponential width, Hastad 1986), not how it
    generalizes.
    """

    bits: int = 8

    def load(self, root: Path) -> Splits:
        """Return the truth table three times; `root` is not needed."""
        if not 1 <= self.bits <= 16:
            raise ConfigError(f"bits={self.bits} is out of range: the table has 2^bits rows, bits from 1 to 16")
        words = torch.arange(2**self.bits)[:, None] >> torch.arange(self.bits) & 1  # (2^bits, bits)
        table = Table(words.float(), words.sum(1) % 2)
        return Splits(table, table, table, table_facts(table.x) | class_facts(("even", "odd")))


@dataclass(frozen=True, kw_only=True)
class Polynomial(Points):
    """A noisy curve to fit: y = sum of coefficient k times x^k, plus noise, for x uniform in [-1, 1].

    The features are x, x^2, ... up to `powers`: with 1 a net finds the curve by itself, with more a linear model
    does, and overfits when there are too many.
    """

    coefficients: Sequence[float] = (0.5, -2.0, 0.0, 3.0)
    powers: int = 1

    def draw(self, generator: Generator) -> Table:
        """Return features (N, powers) and targets (N, 1)."""
        x = 2 * torch.rand(self.samples, 1, generator=generator) - 1
        y = x ** torch.arange(len(self.coefficients)) @ torch.tensor(list(self.coefficients))[:, None]
        return Table(x ** torch.arange(1, self.powers + 1), self.jitter(y, generator))

    def answers(self, y: Tensor) -> dict:
        """Return the facts on the one target."""
        return target_facts(y)


@dataclass(frozen=True, kw_only=True)
class Blobs(Points):
    """Round clusters of standard deviation `noise` about centres on the unit circle, one for each class."""

    classes: int = 3

    def draw(self, generator: Generator) -> Table:
        """Return points (N, 2) of the classes in turn."""
        y = torch.arange(self.samples) % self.classes
        angle = y * (2 * math.pi / self.classes)
        return Table(self.jitter(torch.stack([angle.cos(), angle.sin()], 1), generator), y)

    def answers(self, y: Tensor) -> dict:
        """Return the facts on as many classes as were asked for."""
        return class_facts([f"blob {c}" for c in range(self.classes)])


@dataclass(frozen=True, kw_only=True)
class Moons(Points):
    """Two half circles that reach into each other: not linearly separable."""

    names = ("upper", "lower")

    def draw(self, generator: Generator) -> Table:
        """Return points (N, 2); the lower moon is the upper one turned by 180 degrees about (0.5, 0.25)."""
        y = torch.arange(self.samples) % 2
        angle = math.pi * torch.rand(self.samples, generator=generator)
        upper = torch.stack([angle.cos(), angle.sin()], 1)
        lower = torch.tensor([1.0, 0.5]) - upper
        return Table(self.jitter(torch.where(y[:, None] == 0, upper, lower), generator), y)


@dataclass(frozen=True, kw_only=True)
class Circles(Points):
    """A circle of radius one half inside the unit circle."""

    names = ("inner", "outer")

    def draw(self, generator: Generator) -> Table:
        """Return points (N, 2)."""
        y = torch.arange(self.samples) % 2
        angle = 2 * math.pi * torch.rand(self.samples, generator=generator)
        circle = torch.stack([angle.cos(), angle.sin()], 1)
        return Table(self.jitter(circle * (0.5 + 0.5 * y[:, None]), generator), y)


@dataclass(frozen=True, kw_only=True)
class Spirals(Points):
    """Two spirals wound into each other (Lang and Witbrock 1988), `turns` times around."""

    turns: float = 1.5

    names = ("first", "second")

    def draw(self, generator: Generator) -> Table:
        """Return points (N, 2): radius in [0, 1] grows with the angle; the second arm is the first, negated."""
        y = torch.arange(self.samples) % 2
        radius = torch.rand(self.samples, generator=generator).sqrt()  # points spread evenly along the arm
        angle = 2 * math.pi * self.turns * radius
        arm = radius[:, None] * torch.stack([angle.cos(), angle.sin()], 1)
        return Table(self.jitter(arm * (1 - 2 * y[:, None]), generator), y)


@dataclass(frozen=True, kw_only=True)
class Tags(Points):
    """Several labels at once: label k is set where a row lies in the k-th of several overlapping half-spaces.

    `noise` is added to the distance from the plane, so that rows near it are uncertain.
    """

    features: int = 12
    labels: int = 4

    def draw(self, generator: Generator) -> Table:
        """Return normal features (N, D) and labels (N, L) in {0, 1}."""
        planes = torch.randn(self.features, self.labels, generator=torch.Generator().manual_seed(self.split_seed))
        x = torch.randn(self.samples, self.features, generator=generator)
        return Table(x, (self.jitter(x @ (planes / planes.norm(dim=0)), generator) > 0).float())

    def answers(self, y: Tensor) -> dict:
        """Return the number of labels; there are no classes."""
        return {"labels": self.labels}
