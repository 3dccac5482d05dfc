"""Attacks that look for the smallest change instead of any change within a bound.

Without a bound (eps null) they answer how far each example is from another class; with one, an example whose smallest
change is larger comes back as it was. What they find is brought nearer along the line from the clean picture, until
the net only just changes its mind.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from dlcli.attacks import ball
from dlcli.attacks.best import Best, Cases
from dlcli.attacks.objective import Classifier, read
from dlcli.attacks.threat import Attack

HALVINGS = 12  # of the way between the clean picture and what was found: a four-thousandth


@dataclass(frozen=True, kw_only=True)
class Nearest(Attack):
    """A search for the nearest adversarial example, as far as `eps` or, if that is null, as far as need be."""

    eps: float | None = None  # type: ignore[assignment]

    @property
    def bound(self) -> float:
        """The largest distance that counts."""
        return float("inf") if self.eps is None else self.eps

    def judge(self, cases: Cases, found: Tensor, logits: Tensor) -> Tensor:
        """Return the distances (B,) beyond the bound, if there is one; infinite where pictures are not adversarial."""
        size = ball.distance(found - cases.x, self.norm) - (0 if self.eps is None else self.eps)
        return size.masked_fill(~self.wins(cases, logits), torch.inf)

    def wins(self, cases: Cases, logits: Tensor) -> Tensor:
        """Return a mask (B,) of the pictures that are adversarial, given their logits."""
        return cases.margin(logits) < 0

    def search(self, classifier: Classifier, cases: Cases) -> Tensor:
        """Return the nearest pictures that were found within the bound."""
        logits = read(classifier, cases.x)
        best = Best(cases.x, self.judge(cases, cases.x, logits))
        rows = (~self.wins(cases, logits)).nonzero().flatten()  # of the others nothing is nearer than they are
        if len(rows):
            part = cases.at(rows)
            self.approach(classifier, part, rows, best)
            self.offer(classifier, part, rows, best, self.closer(classifier, part, best.x[rows]))
        far = best.value.isinf() if self.eps is None else best.value > 0
        return torch.where(ball.per_example(far, cases.x), cases.x, best.x)

    def approach(self, classifier: Classifier, cases: Cases, rows: Tensor, best: Best) -> None:
        """Offer adversarial pictures, the nearer the better; the cases are the rows of `best` that are to be won."""
        raise NotImplementedError

    def offer(self, classifier: Classifier, cases: Cases, rows: Tensor, best: Best, found: Tensor) -> Tensor:
        """Offer pictures by their distance, if they are adversarial; return a mask of those that are."""
        value = self.judge(cases, found, read(classifier, found))
        best.offer(rows, found, value)
        return value < torch.inf

    def closer(self, classifier: Classifier, cases: Cases, found: Tensor) -> Tensor:
        """Return pictures between the clean and the adversarial ones that are only just adversarial."""
        low, high = torch.zeros(len(found), device=found.device), torch.ones(len(found), device=found.device)
        for _ in range(HALVINGS):
            middle = (low + high) / 2
            won = self.wins(cases, read(classifier, between(cases.x, found, middle)))
            low, high = torch.where(won, low, middle), torch.where(won, middle, high)
        return between(cases.x, found, high)


def between(x: Tensor, found: Tensor, share: Tensor) -> Tensor:
    """Return the pictures at a share (B,) of the way."""
    part = ball.per_example(share, x)
    return torch.where(part == 1, found, x + part * (found - x)).clamp(0, 1)
