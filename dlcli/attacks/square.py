"""Square attack: squares of random sign, kept when they help (Andriushchenko et al. 2020, arXiv:1912.00049).

It asks for outputs only, `queries` times for each example. linf: begins with vertical stripes of +-eps; then a square
of side s is painted with +-eps in each channel. l2: begins with noise; one square gives its length to another, where a
hill grows. Squares get smaller as queries are spent: s^2 / (H W) = share, halved at fixed points.
"""

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from dlcli.attacks import ball
from dlcli.attacks.best import Best, Cases
from dlcli.attacks.objective import Classifier, read
from dlcli.attacks.randomness import uniform
from dlcli.attacks.threat import Attack, demand

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
        clean = cases.margin(read(classifier, cases.x))
        start = self._start(cases)
        best = Best(start, cases.margin(read(classifier, start)), self.stop)
        best.offer(torch.arange(len(clean), device=clean.device)[clean < 0], cases.x[clean < 0], clean[clean < 0])
        rows = best.open()
        for query in range(self.queries - 2):
            if not len(rows):
                break
            part = cases.at(rows)
            side = self._side(query, cases.x)
            paint = self._painted_linf if self.norm == "linf" else self._painted_l2
            tried = ball.project(paint(best.x[rows], part, query, side), part.x, self.eps, self.norm)
            rows = rows[best.offer(rows, tried, part.margin(read(classifier, tried)))]
        return torch.where(ball.per_example(clean < best.value, cases.x), cases.x, best.x)

    def _side(self, query: int, x: Tensor) -> int:
        """Return the side of the squares at a query."""
        height, width = x.shape[2:]
        share = self.share / 2 ** sum(query * 10_000 / self.queries > at for at in HALVED)
        return min(max(round(math.sqrt(share * height * width)), 1), height, width)

    def _start(self, cases: Cases) -> Tensor:
        """Return stripes for linf, noise of full length for l2."""
        if self.norm == "l2":
            return ball.surface(cases.x, self.eps, "l2", self.seed, -3, cases.numbers)
        count, channels, _, width = cases.x.shape
        signs = (uniform(self.seed, -3, cases.numbers, channels * width) - 0.5).sign().view(count, channels, 1, width)
        return ball.project(cases.x + self.eps * signs, cases.x, self.eps, "linf")

    def _window(self, cases: Cases, draw: Tensor, side: int) -> Tensor:
        """Return a mask (B, 1, H, W) of a square at the place that two numbers (B, 2) in (0, 1) name."""
        height, width = cases.x.shape[2:]
        top, left = (draw[:, 0] * (height - side + 1)).long(), (draw[:, 1] * (width - side + 1)).long()
        down = torch.arange(height, device=draw.device) - top.unsqueeze(1)
        across = torch.arange(width, device=draw.device) - left.unsqueeze(1)
        rows, columns = (down >= 0) & (down < side), (across >= 0) & (across < side)
        return (rows.unsqueeze(2) & columns.unsqueeze(1)).unsqueeze(1)

    def _painted_linf(self, here: Tensor, cases: Cases, query: int, side: int) -> Tensor:
        channels = here.shape[1]
        draw = uniform(self.seed, query, cases.numbers, 2 + channels)
        signs = (draw[:, 2:] - 0.5).sign().view(-1, channels, 1, 1)
        return torch.where(self._window(cases, draw, side), cases.x + self.eps * signs, here)

    def _painted_l2(self, here: Tensor, cases: Cases, query: int, side: int) -> Tensor:
        channels, delta = here.shape[1], here - cases.x
        draw = uniform(self.seed, query, cases.numbers, 4 + channels)
        to, source = self._window(cases, draw[:, :2], side), self._window(cases, draw[:, 2:4], side)
        signs = (draw[:, 4:] - 0.5).sign().view(-1, channels, 1, 1)
        rest = delta.masked_fill(to | source, 0)
        free = (self.eps**2 - ball.length(rest) ** 2).clamp(min=0).sqrt()  # what the two squares have between them
        old = delta.where(to, 0)
        bump = torch.where(to, signs * self._bump(to, side), 0)
        fresh = ball.direction(bump, "l2") + ball.direction(old, "l2")
        return cases.x + rest + free * ball.direction(fresh, "l2")

    def _bump(self, window: Tensor, side: int) -> Tensor:
        """Return hills (B, 1, H, W) that fall off from the middle of the windows."""
        height, width = window.shape[2:]
        rows, columns = window.any(3).float().argmax(2), window.any(2).float().argmax(2)  # (B, 1), where they begin
        down = torch.arange(height, device=window.device) - rows.unsqueeze(2) - (side - 1) / 2  # (B, 1, H)
        across = torch.arange(width, device=window.device) - columns.unsqueeze(2) - (side - 1) / 2
        ring = torch.maximum(down.abs().unsqueeze(3), across.abs().unsqueeze(2))
        return 1 / (1 + ring) ** 2
