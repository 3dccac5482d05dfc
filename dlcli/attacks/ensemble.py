"""Several attacks in turn, each on the examples that those before it left: the worst case of each example.

AutoAttack (Croce and Hein 2020, arXiv:2003.01690) is four of them without a number to tune: APGD on the cross-entropy,
APGD on the DLR loss aimed at every other class, FAB aimed at every other class, and Square, which needs no gradients.
With fewer than four classes, for which DLR is not defined, the margin takes its place.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from dlcli.attacks.apgd import APGD
from dlcli.attacks.best import Best, Cases
from dlcli.attacks.fab import FAB
from dlcli.attacks.objective import Classifier, read
from dlcli.attacks.square import Square
from dlcli.attacks.threat import Attack, demand, demand_counts


@dataclass(frozen=True, kw_only=True)
class AutoAttack(Attack):
    """Run the four attacks; an example that one of them wins is done."""

    steps: int = 100
    restarts: int = 1
    queries: int = 5000
    eot: int = 1

    def __post_init__(self) -> None:
        """Refuse values out of range."""
        super().__post_init__()
        demand_counts(self, steps=100, restarts=5, eot=10)
        demand(self.queries >= 0, "queries", self.queries, "at least 0", 5000)
        demand(self.target is None, "target", self.target, "null: its parts choose their targets", "null")

    def parts(self, classes: int) -> dict[str, Attack]:
        """Return the attacks in their order."""
        same = {"eps": self.eps, "norm": self.norm, "seed": self.seed, "stop": True}
        steps = {"steps": self.steps, "restarts": self.restarts}
        loss = "dlr" if classes >= 4 else "margin"
        found: dict[str, Attack] = {
            "apgd-ce": APGD(**same, **steps, eot=self.eot),  # type: ignore[arg-type]
            "apgd-t": APGD(**same, **steps, loss=loss, target="all", eot=self.eot),  # type: ignore[arg-type]
            "fab-t": FAB(**same, **steps, target="all"),  # type: ignore[arg-type]
        }
        square = Square(**same, queries=self.queries) if self.queries > 1 else None  # type: ignore[arg-type]
        return found | ({"square": square} if square else {})

    def search(self, classifier: Classifier, cases: Cases) -> Tensor:
        """Return the pictures of lowest margin."""
        return self._in_turn(classifier, cases)[0]

    def tally(self, classifier: Classifier, x: Tensor, y: Tensor, index: Tensor) -> tuple[Tensor, Tensor]:
        """Return adversarial pictures, and the number (B,) of the part that won each example, -1 where none did."""
        x, y, index = self.admitted(x, y, index)
        if self.eps == 0 or len(x) == 0:
            return x.clone(), torch.full_like(y, -1)
        with torch.no_grad(), torch.autocast(x.device.type, enabled=False):
            return self._in_turn(classifier, Cases(x, y, None, index))

    def _in_turn(self, classifier: Classifier, cases: Cases) -> tuple[Tensor, Tensor]:
        logits = read(classifier, cases.x, self.eot)
        best = Best(cases.x, cases.margin(logits), stop=True)
        winner = torch.full_like(cases.y, -1)
        for number, part in enumerate(self.parts(logits.shape[1]).values()):
            rows = best.open()
            if not len(rows):
                break
            few = cases.at(rows)
            found = part(classifier, few.x, few.y, few.numbers)
            left = best.offer(rows, found, few.margin(read(classifier, found, self.eot)))
            winner[rows[~left]] = number
        return best.x, winner
