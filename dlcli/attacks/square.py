"""Square attack: squares of random sign, kept when they help (Andriushchenko et al. 2020, arXiv:1912.00049).

It asks for outputs only, `queries` times for each example; several targets share them. linf: begins with vertical
stripes of +-eps; then a square of side s is painted with +-eps in each channel. l2: begins with five rows of tiles;
then one square gives its length to another, in each channel c of C, with a sign r = +-1 of its own:

    d_c <- (r n + d_c / |d_c|) scaled to the length sqrt(|d_c and the other square|^2 + (eps^2 - |d|^2) / C)

n, also that of the tiles, is a hill beside a hollow, above it or to its left. At k pixels from its middle a hill of
h x w is sum_j 1 / j^2 high, j = k + 1 .. max(h, w) / 2 + 1. Squares get smaller as queries are spent: s^2 / (H W) =
share, halved at fixed points; in l2 s is odd and at least 3.
"""

import math
from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor

from dlcli.attacks import ball
from dlcli.attacks.best import Best, Cases
from dlcli.attacks.objective import Classifier, read
from dlcli.attacks.randomness import uniform
from dlcli.attacks.threat import MOST, Attack, demand

TILES = 5  # in a column of the start in l2
HALVED = (10, 50, 200, 500, 1000, 2000, 4000, 6000, 8000)  # of 10,000 queries


@dataclass(frozen=True, kw_only=True)
class Square(Attack):
    """Paint squares at random."""

    gradients: ClassVar[bool] = False

    queries: int = 5000
    share: float = 0.8

    def __post_init__(self) -> None:
        """Refuse values out of range."""
        super().__post_init__()
        demand(self.queries >= 2, "queries", self.queries, "at least 2", 5000)
        demand(0 < self.share <= 1, "share", self.share, "a share of the picture above 0, at most 1", 0.8)

    def search(self, classifier: Classifier, cases: Cases) -> Tensor:
        """Return the pictures of lowest margin."""
        logits = read(classifier, cases.x)
        clean, own = cases.margin(logits), self._alone(logits.shape[1])
        start = self._start(cases)
        best = Best(start, cases.margin(read(classifier, start)), self.stop)
        best.offer(torch.arange(len(clean), device=clean.device)[clean < 0], cases.x[clean < 0], clean[clean < 0])
        rows = best.open()
        for query in range(own.queries - 2):
            if not len(rows):
                break
            part = cases.at(rows)
            side = own._side(query, cases.x)
            paint = self._painted_linf if self.norm == "linf" else self._painted_l2
            tried = ball.project(paint(best.x[rows], part, query, side), part.x, self.eps, self.norm)
            rows = rows[best.offer(rows, tried, part.margin(read(classifier, tried)))]
        return torch.where(ball.per_example(clean < best.value, cases.x), cases.x, best.x)

    def _alone(self, classes: int) -> "Square":
        """Return the attack with the queries that one search may spend of all.

        One more chooses the targets; if it is all of them, each needs one more, which tells what came of it.
        """
        if self.target is None:
            return self
        targets, last = (min(MOST, classes - 1), 1) if self.target == "all" else (1, 0)
        least = 1 + targets * (2 + last)
        demand(self.queries >= least, "queries", self.queries, f"at least {least} with target={self.target}", 5000)
        return replace(self, queries=(self.queries - 1) // targets - last)

    def _side(self, query: int, x: Tensor) -> int:
        """Return the side of the squares at a query."""
        height, width = x.shape[2:]
        share = self.share / 2 ** sum(query * 10_000 / self.queries > at for at in HALVED)
        side = max(round(math.sqrt(share * height * width)), 1)
        return min(side if self.norm == "linf" else max(side, 3) // 2 * 2 + 1, height, width)

    def _start(self, cases: Cases) -> Tensor:
        """Return stripes for linf, tiles for l2."""
        count, channels, _, width = cases.x.shape
        if self.norm == "l2":
            return ball.project(cases.x + self.eps * self._tiles(cases), cases.x, self.eps, "l2")
        signs = (uniform(self.seed, -3, cases.numbers, channels * width) - 0.5).sign().view(count, channels, 1, width)
        return ball.project(cases.x + self.eps * signs, cases.x, self.eps, "linf")

    def _tiles(self, cases: Cases) -> Tensor:
        """Return a change of unit length: tiles of hill and hollow, each turned and signed for itself."""
        count, channels, height, width = cases.x.shape
        side = max(height // TILES, 1)
        down, across = height // side, width // side
        draw = uniform(self.seed, -3, cases.numbers, (channels + 1) * down * across) - 0.5
        draw = draw.view(count, channels + 1, down, across, 1, 1)
        tile = hill_and_hollow(side).to(cases.x)
        tiles = torch.where(draw[:, :1] > 0, tile, tile.T) * draw[:, 1:].sign()  # (B, C, down, across, side, side)
        tiles = tiles.transpose(3, 4).reshape(count, channels, down * side, across * side)
        change, top, left = torch.zeros_like(cases.x), (height - down * side) // 2, (width - across * side) // 2
        change[:, :, top : top + down * side, left : left + across * side] = tiles
        return ball.direction(change, "l2")

    def _places(self, cases: Cases, draw: Tensor, side: int) -> tuple[Tensor, Tensor, Tensor]:
        """Return a square at the place that two numbers (B, 2) in (0, 1) name.

        A mask (B, 1, H, W), and for each row (B, H) and column (B, W) of the picture which it is in the square.
        """
        height, width = cases.x.shape[2:]
        top, left = (draw[:, 0] * (height - side + 1)).long(), (draw[:, 1] * (width - side + 1)).long()
        down = torch.arange(height, device=draw.device) - top.unsqueeze(1)
        across = torch.arange(width, device=draw.device) - left.unsqueeze(1)
        rows, columns = (down >= 0) & (down < side), (across >= 0) & (across < side)
        return (rows.unsqueeze(2) & columns.unsqueeze(1)).unsqueeze(1), down, across

    def _painted_linf(self, here: Tensor, cases: Cases, query: int, side: int) -> Tensor:
        channels = here.shape[1]
        draw = uniform(self.seed, query, cases.numbers, 2 + channels)
        signs = (draw[:, 2:] - 0.5).sign().view(-1, channels, 1, 1)
        return torch.where(self._places(cases, draw, side)[0], cases.x + self.eps * signs, here)

    def _painted_l2(self, here: Tensor, cases: Cases, query: int, side: int) -> Tensor:
        channels, delta = here.shape[1], here - cases.x
        draw = uniform(self.seed, query, cases.numbers, 5 + channels)
        (to, down, across), (source, _, _) = (self._places(cases, draw[:, i : i + 2], side) for i in (0, 2))
        down, across = down.clamp(0, side - 1).unsqueeze(2), across.clamp(0, side - 1).unsqueeze(1)
        tile = hill_and_hollow(side).to(here)
        bump = torch.where((draw[:, 4] > 0.5).view(-1, 1, 1), tile[down, across], tile.T[down, across]).unsqueeze(1)
        signs = (draw[:, 5:] - 0.5).sign().view(-1, channels, 1, 1)
        spare = (self.eps**2 - ball.length(delta) ** 2).clamp(min=0) / channels
        free = (channel_length(delta.where(to | source, 0)) ** 2 + spare).sqrt()
        old = delta.where(to, 0)
        fresh = (signs * bump + old / channel_length(old)).where(to, 0)
        return cases.x + delta.masked_fill(to | source, 0) + free * fresh / channel_length(fresh)


def channel_length(delta: Tensor) -> Tensor:
    """Return the Euclidean length of each channel, (B, C, 1, 1), never quite zero."""
    return delta.flatten(2).norm(dim=2).clamp(min=torch.finfo(delta.dtype).tiny)[..., None, None]


def hill_and_hollow(side: int) -> Tensor:
    """Return a square of unit length: its upper half a hill, its lower half a hollow."""
    whole = torch.cat([hill(side // 2, side), -hill(side - side // 2, side)])
    return whole / whole.norm()


def hill(rows: int, columns: int) -> Tensor:
    """Return a hill (rows, columns) of unit length, which falls off from its middle in square steps."""
    far_down, far_across = (torch.arange(size) - size // 2 for size in (rows, columns))
    ring = torch.maximum(far_down.abs().unsqueeze(1), far_across.abs())
    steps = torch.arange(1.0, max(rows, columns) // 2 + 2) ** -2
    whole = steps.flip(0).cumsum(0).flip(0)[ring]
    return whole / whole.norm()
