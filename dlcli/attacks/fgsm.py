"""One step along the gradient (Goodfellow et al. 2015, arXiv:1412.6572).

    linf: x' = x - eps sign(g)         l2: x' = x - eps g / |g|         g: gradient of the loss to lower, by the pixels

The best possible attack on a linear classifier, and a weak one on anything else.
"""

from dataclasses import dataclass

from torch import Tensor

from dlcli.attacks import ball
from dlcli.attacks.best import Cases
from dlcli.attacks.objective import LOSSES, Classifier, slope
from dlcli.attacks.threat import Attack, demand


@dataclass(frozen=True, kw_only=True)
class FGSM(Attack):
    """Take the longest step that is allowed, once."""

    loss: str = "cross_entropy"

    def __post_init__(self) -> None:
        """Refuse values out of range."""
        super().__post_init__()
        demand(self.loss in LOSSES, "loss", self.loss, " or ".join(LOSSES), "cross_entropy")

    def search(self, classifier: Classifier, cases: Cases) -> Tensor:
        """Return the pictures after the step."""
        x, y, target = cases.x, cases.y, cases.target
        gradient, _ = slope(classifier, x, lambda logits: LOSSES[self.loss](logits, y, target))
        return ball.project(x - self.eps * ball.direction(gradient, self.norm), x, self.eps, self.norm)
