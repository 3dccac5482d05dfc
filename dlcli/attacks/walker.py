"""What walks down a loss have in common: `restarts` from starts of their own, and the best picture each came by."""

from dataclasses import dataclass

from torch import Tensor

from dlcli.attacks.best import Best, Cases
from dlcli.attacks.objective import LOSSES, Classifier, read
from dlcli.attacks.threat import Attack, demand, demand_counts


@dataclass(frozen=True, kw_only=True)
class Walker(Attack):
    """Walk down the loss in the ball, `restarts` times, and keep the picture of lowest margin of each example."""

    steps: int = 40
    restarts: int = 1
    loss: str = "cross_entropy"
    eot: int = 1

    def __post_init__(self) -> None:
        """Refuse values out of range."""
        super().__post_init__()
        demand_counts(self, steps=40, restarts=5, eot=10)
        demand(self.loss in LOSSES, "loss", self.loss, " or ".join(LOSSES), "cross_entropy")

    def search(self, classifier: Classifier, cases: Cases) -> Tensor:
        """Return the pictures of lowest margin.

        A mean of answers that has just crossed the border wins every other answer only, so it stops no search.
        """
        stop = self.stop and self.eot == 1
        best = Best(cases.x, cases.margin(read(classifier, cases.x, self.eot)), stop)
        for restart in range(self.restarts):
            rows = best.open()
            if len(rows):
                self.walk(classifier, cases.at(rows), rows, restart, best)
        return best.x

    def walk(self, classifier: Classifier, cases: Cases, rows: Tensor, restart: int, best: Best) -> None:
        """Offer the pictures on the way from one start; the cases are the `rows` of `best` that are to be won."""
        raise NotImplementedError
