"""A split of squares that are cut anew in each epoch, out of whole pictures of two domains that lie in memory."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from dlcli.batch import Pairs
from dlcli.data.randomness import STILL, uniform

SEED = 0  # of the squares that stand for the split where no run draws them


@dataclass(frozen=True, kw_only=True)
class Crops:
    """Whole pictures, bytes (C, H, W) of any size, and the numbers by which the squares are drawn, (N,)."""

    pictures: Sequence[Tensor]
    others: Sequence[Tensor]
    side: int  # pixels of a square
    index: Tensor

    @property
    def size(self) -> int:
        """The number of squares in an epoch."""
        return len(self.index)

    @property
    def x(self) -> Tensor:
        """Squares of the first domain, the same at any time, (N, C, side, side)."""
        return self.cut(torch.arange(self.size), SEED, STILL).x

    @property
    def y(self) -> Tensor:
        """No classes, (N,)."""
        return torch.zeros(self.size, dtype=torch.long)

    def __iter__(self) -> Iterator[Tensor]:
        """Yield what tells this split from another."""
        yield from (*self.pictures, *self.others, self.index)

    def pick(self, rows: Tensor) -> "Crops":
        """Return the given squares."""
        return replace(self, index=self.index[rows])

    def cut(self, rows: Tensor, seed: int, epoch: int) -> Pairs:
        """Return squares as bytes, each from a picture and a place that (seed, epoch, number of the square) give."""
        draws = uniform(seed, epoch, self.index[rows], 6)  # picture, row and column, for both domains
        x, other = (
            torch.stack([square(pictures, draw, self.side) for draw in part.tolist()])
            for pictures, part in ((self.pictures, draws[:, :3]), (self.others, draws[:, 3:]))
        )
        return Pairs(x, torch.zeros(len(rows), dtype=torch.long), other)


def square(pictures: Sequence[Tensor], draw: Sequence[float], side: int) -> Tensor:
    """Return one of all squares of a picture, given three numbers in [0, 1): picture, row, column."""
    picture = pictures[int(draw[0] * len(pictures))]
    top, left = (int(share * (length - side + 1)) for share, length in zip(draw[1:], picture.shape[1:], strict=True))
    return picture[:, top : top + side, left : left + side]
