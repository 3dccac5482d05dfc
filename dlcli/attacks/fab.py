"""FAB: the fast adaptive boundary attack, aimed at one class after the other (Croce and Hein 2020, arXiv:1907.02044).

At x_k the border with class t is taken to be the plane where f = z_t - z_y vanishes. d(x) is the smallest change that
brings x onto that plane within [0, 1], found by halving:

    linf: d_i = clip(s sign(w_i), -x_i, 1 - x_i)        l2: d_i = clip(s w_i, -x_i, 1 - x_i)        w: gradient of f

    x_{k+1} = (1 - a) (x_k + h d(x_k)) + a (x + h d_0)          d_0: the same, from the clean picture x
    a = min(|d(x_k)| / (|d(x_k)| + |d_0|), 0.1),  h = 1.05

Where x_{k+1} is adversarial it is kept if it is the nearest so far, and drawn back a tenth of the way to x.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from dlcli.attacks import ball
from dlcli.attacks.best import Best, Cases
from dlcli.attacks.nearest import Nearest
from dlcli.attacks.objective import Classifier
from dlcli.attacks.plane import differences, onto
from dlcli.attacks.threat import demand, demand_counts

BIAS, BEYOND, BACK = 0.1, 1.05, 0.9  # largest a; h; what is left of the way after drawing back


@dataclass(frozen=True, kw_only=True)
class FAB(Nearest):
    """Walk along the border towards the clean picture."""

    norm: str = "linf"
    target: str | int | None = "all"
    steps: int = 100
    restarts: int = 1

    def __post_init__(self) -> None:
        """Refuse values out of range."""
        super().__post_init__()
        demand_counts(self, steps=100, restarts=5)
        demand(self.target is not None, "target", self.target, "all, least, random or the index of a class", "all")

    def approach(self, classifier: Classifier, cases: Cases, rows: Tensor, best: Best) -> None:
        """Walk once for each restart; the first begins at the picture itself."""
        for restart in range(self.restarts):
            here = cases.x
            if restart:
                size = min(self.bound, 1.0 if self.norm == "linf" else cases.x[0].numel() ** 0.5)
                here = ball.inside(cases.x, size / 2, self.norm, self.seed, 2 * restart, cases.numbers)
            for _ in range(self.steps):
                here = self._step(classifier, here, cases)
                won = self.offer(classifier, cases, rows, best, here)
                back = cases.x + BACK * (here - cases.x)
                here = torch.where(ball.per_example(won, here), back, here)

    def _step(self, classifier: Classifier, here: Tensor, cases: Cases) -> Tensor:
        """Return the pictures after a step."""
        assert cases.target is not None
        gap, slope = (part[:, 0] for part in differences(classifier, here, cases.y, cases.target.unsqueeze(1)))
        from_clean = gap + (slope * (cases.x - here)).flatten(1).sum(1)  # the plane, as seen from the clean picture
        now, first = onto(here, slope, gap, self.norm), onto(cases.x, slope, from_clean, self.norm)
        size_now, size_first = ball.distance(now, self.norm), ball.distance(first, self.norm)
        share = (size_now / (size_now + size_first).clamp(min=torch.finfo(now.dtype).tiny)).clamp(max=BIAS)
        share = ball.per_example(share, here)
        return ((1 - share) * (here + BEYOND * now) + share * (cases.x + BEYOND * first)).clamp(0, 1)
