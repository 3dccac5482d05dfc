"""DeepFool: straight to the nearest border of a linear picture of the net (Moosavi-Dezfooli et al. 2016).

arXiv:1511.04599. With logits z and the differences f_k = z_k - z_y of the other classes k, whose gradients are w_k:

    k* = argmin_k |f_k| / |w_k|_q           q: 2 for l2, 1 for linf; of w_k what pixels at the wall can follow
    x <- x + (1 + overshoot) d              d: the smallest change within [0, 1] for which w_k* d = |f_k*|

repeated until the class changes. Away from the walls d is what the paper takes: |f_k*| / |w_k*|_2^2 w_k* for l2, and
|f_k*| / |w_k*|_1 sign(w_k*) for linf. On a linear classifier one step is the answer. A targeted attack knows one class
k only.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from dlcli.attacks import ball
from dlcli.attacks.best import Best, Cases
from dlcli.attacks.nearest import Nearest
from dlcli.attacks.objective import Classifier, read
from dlcli.attacks.plane import differences, onto
from dlcli.attacks.threat import demand, rivals

LEAST = 1e-6  # of a difference: a step that is never nothing


@dataclass(frozen=True, kw_only=True)
class DeepFool(Nearest):
    """Step to the nearest of the borders with the `candidates` likeliest classes until the class changes."""

    norm: str = "l2"
    steps: int = 50
    overshoot: float = 0.02
    candidates: int = 10

    def __post_init__(self) -> None:
        """Refuse values out of range."""
        super().__post_init__()
        demand(self.steps >= 1, "steps", self.steps, "at least 1", 50)
        demand(0 <= self.overshoot < 1, "overshoot", self.overshoot, "a share from 0 to below 1", 0.02)
        demand(self.candidates >= 1, "candidates", self.candidates, "at least 1", 10)

    def approach(self, classifier: Classifier, cases: Cases, rows: Tensor, best: Best) -> None:
        """Walk until the last example is won."""
        others, here = self._others(read(classifier, cases.x), cases), cases.x
        for _ in range(self.steps):
            gap, slope = self._nearest(*differences(classifier, here, cases.y, others), here)
            way = onto(here, slope, -gap.abs().clamp(min=LEAST), self.norm)
            here = (here + (1 + self.overshoot) * way).clamp(0, 1)
            going = ~self.offer(classifier, cases, rows, best, here)
            rows, cases, others, here = rows[going], cases.at(going), others[going], here[going]
            if not len(rows):
                return

    def _others(self, logits: Tensor, cases: Cases) -> Tensor:
        """Return the classes (B, K) whose borders are looked at."""
        return rivals(logits, cases.y)[:, : self.candidates] if cases.target is None else cases.target.unsqueeze(1)

    def _nearest(self, gaps: Tensor, slopes: Tensor, here: Tensor) -> tuple[Tensor, Tensor]:
        """Return difference (B,) and gradient of the nearest border; (B, K) differences, (B, K, C, H, W) gradients."""
        at, tiny = here.unsqueeze(1), torch.finfo(gaps.dtype).tiny
        open_ = slopes.masked_fill((at <= 0) & (slopes < 0) | (at >= 1) & (slopes > 0), 0)
        size = ball.distance(open_.flatten(0, 1), "l2" if self.norm == "l2" else "l1").view_as(gaps)
        nearest = (gaps.abs() / size.clamp(min=tiny)).argmin(1)
        rows = torch.arange(len(gaps), device=gaps.device)
        return gaps[rows, nearest], slopes[rows, nearest]
