"""The examples under attack, and the best picture that each of them came by.

An attack works on the rows of a batch that are still open, so that an example which is won costs nothing any more.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from dlcli.attacks.objective import margin


class Cases(NamedTuple):
    """Pictures, their classes, the classes that are wanted of them, and their numbers in the split.

    loose: any wrong class will do; the targets only say where to look for one.
    """

    x: Tensor  # (B, C, H, W) in [0, 1]
    y: Tensor  # (B,)
    target: Tensor | None  # (B,)
    numbers: Tensor  # (B,)
    loose: bool = False

    def at(self, rows: Tensor) -> "Cases":
        """Return some of the examples; `rows` are numbers or a mask."""
        target = None if self.target is None else self.target[rows]
        return Cases(self.x[rows], self.y[rows], target, self.numbers[rows], self.loose)

    def margin(self, logits: Tensor) -> Tensor:
        """Return (B,) the margins of logits (B, classes); below 0 the attack has won."""
        aimed = margin(logits, self.y, self.target)
        if not self.loose:
            return aimed
        plain = margin(logits, self.y)
        return torch.where(plain < 0, plain, aimed)


class Best:
    """The pictures of lowest value so far; a value below 0 is a success."""

    def __init__(self, x: Tensor, value: Tensor, stop: bool = False):
        self.x, self.value, self.stop = x.clone(), value.clone(), stop

    def offer(self, rows: Tensor, candidates: Tensor, value: Tensor) -> Tensor:
        """Keep the candidates for `rows` that are better; return a mask of the rows that go on."""
        better = value < self.value[rows]
        chosen = rows[better]
        self.x[chosen], self.value[chosen] = candidates[better], value[better]
        return self.value[rows] >= 0 if self.stop else torch.ones_like(better)

    def open(self) -> Tensor:
        """Return the numbers of the rows that go on."""
        going = self.value >= 0 if self.stop else torch.ones_like(self.value, dtype=torch.bool)
        return going.nonzero().flatten()
