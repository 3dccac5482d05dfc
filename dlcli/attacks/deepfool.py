"""DeepFool: straight to the nearest border of a linear picture of the net (Moosavi-Dezfooli et al. 2016).

arXiv:1511.04599. With logits z and the differences f_k = z_k - z_y of the other classes k, whose gradients are w_k:

    k* = argmin_k |f_k| / |w_k|_q           q: 2 for l2, 1 for linf
    r <- r + d                              d = |f_k*| / |w_k*|_2^2 w_k*  or, for linf,  |f_k*| / |w_k*|_1 sign(w_k*)
    x' = clip(x + (1 + overshoot) r)        x: the clean picture; into [0, 1]

repeated until the class changes. On a linear classifier one step is the answer, or at walls a few: r forgets nothing
of what a wall took away, so that clip(x + r) is the nearest point of the border there as well. A longer step that
makes up for the walls at once trusts the linear picture farther than it holds. A targeted attack knows one class k.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from dlcli.attacks import ball
from dlcli.attacks.best import Best, Cases
from dlcli.attacks.nearest import Nearest
from dlcli.attacks.objective import Classifier, read
from dlcli.attacks.plane import differences
from dlcli.attacks.threat import demand, demand_counts, rivals

LEAST = 1e-4  # by which each step is longer: those that come ever nearer to a border never cross it


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
        demand(0 <= self.overshoot < 1, "overshoot", self.overshoot, "a share from 0 to below 1", 0.02)
        demand_counts(self, steps=50, candidates=10)

    def approach(self, classifier: Classifier, cases: Cases, rows: Tensor, best: Best) -> None:
        """Walk until the last example is won."""
        others, here, whole = self._others(read(classifier, cases.x), cases), cases.x, torch.zeros_like(cases.x)
        for _ in range(self.steps):
            whole = whole + self._step(*differences(classifier, here, cases.y, others))
            here = (cases.x + (1 + self.overshoot) * whole).clamp(0, 1)
            going = ~self.offer(classifier, cases, rows, best, here)
            rows, cases, others, here, whole = (
                rows[going], cases.at(going), others[going], here[going], whole[going]
            )  # fmt: skip
            if not len(rows):
                return

    def _others(self, logits: Tensor, cases: Cases) -> Tensor:
        """Return the classes (B, K) whose borders are looked at."""
        return rivals(logits, cases.y)[:, : self.candidates] if cases.target is None else cases.target.unsqueeze(1)

    def _step(self, gaps: Tensor, slopes: Tensor) -> Tensor:
        """Return the way to the nearest border; (B, K) differences, (B, K, C, H, W) gradients."""
        size = ball.distance(slopes.flatten(0, 1), "l2" if self.norm == "l2" else "l1").view_as(gaps)
        tiny, diagonal = torch.finfo(gaps.dtype).tiny, slopes[0, 0].numel() ** 0.5
        far, nearest = (gaps.abs() / size.clamp(min=tiny)).clamp(max=diagonal).min(1)
        slope = slopes[torch.arange(len(gaps), device=gaps.device), nearest]
        return ball.per_example(far + LEAST, slope) * ball.direction(slope, self.norm)
