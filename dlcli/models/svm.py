"""Support vector machines (Cortes & Vapnik 1995), one class against the rest, by coordinate ascent in the dual.

    primal    |f|^2 / 2 + C sum_i max(0, 1 - s_i f(x_i))                          s_i = +1 or -1
    dual      sum_i a_i - |f|^2 / 2,   0 <= a_i <= C,   f = sum_i a_i s_i k_i,    k_i(x) = kernel(x_i, x) + 1

The best a_i while the others stay is a_i + (1 - s_i f(x_i)) / k_i(x_i), clipped to [0, C] (Hsieh et al. 2008). As the
bias is part of the kernel, no constraint ties the multipliers to each other. Of every class there is one machine, and
all share their examples. Examples with a_i > 0 in any of them are the support vectors.

The first epoch keeps the examples, so that it must see each of them once; later ones go through what was kept, in an
order of their own. Each batch is a block of the dual: f at its examples costs a product with all support vectors, the
ascent within it next to nothing. No gradient is taken, so there are no parameters and no optimizer.

x (B, ...), f (B, C classes), y (B,).
"""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dlcli import figures
from dlcli.errors import ConfigError
from dlcli.model import Clock, Update
from dlcli.models.classifier import Classifier
from dlcli.models.supervised import one_class

SHOWN = 10  # support vectors of each class


class SVM(Classifier):
    """Separate each class from the rest with the widest margin; `cost` is C, the price of an example within it."""

    net: Any
    truth: Tensor  # (N,), classes of the examples kept
    order: Tensor  # (N,), in which this epoch goes through them
    place: Tensor  # how many of them it has behind it

    def __init__(
        self,
        *,
        net: nn.Module,
        classes: int,
        names: Sequence[str] | None = None,
        cost: float = 1.0,
        sweeps: int = 3,
    ):
        super().__init__(net=net, classes=classes, names=names)
        if cost <= 0 or sweeps < 1:
            raise ConfigError(f"cost={cost}, sweeps={sweeps}: cost is above 0, sweeps at least 1")
        self.cost, self.sweeps = cost, sweeps
        self.shape: Sequence[int] = ()  # of one example, known once some were measured
        room = len(self.net.beta)
        self.register_buffer("truth", torch.zeros(room, dtype=torch.long))
        self.register_buffer("order", torch.arange(room))
        self.register_buffer("place", torch.zeros((), dtype=torch.long))

    def players(self) -> dict[str, Any]:
        return {}

    @torch.no_grad()
    def updates(self, batch: Any, clock: Clock) -> Iterator[Update]:
        with torch.autocast(batch.x.device.type, enabled=False):
            self.ascend(self.keep(batch) if clock.epoch == 0 else self.block(batch.size))
        return iter(())

    def keep(self, batch: Any) -> Tensor:
        """Keep a batch, and return its rows."""
        y = one_class(batch.y)
        rows = self.net.keep(batch.x.float())
        self.truth[rows] = y
        self.place.copy_(self.net.count)
        return rows

    def block(self, size: int) -> Tensor:
        """Return the next rows of the order, which is drawn anew once all had their turn."""
        count, place = int(self.net.count), int(self.place)
        if place >= count:
            self.order[:count] = torch.randperm(count).to(self.order.device)
            place = 0
        rows = self.order[place : min(place + size, count)]
        self.place.fill_(place + len(rows))
        return rows

    def ascend(self, rows: Tensor) -> None:
        """Raise the dual over the multipliers of some examples, one after the other, all classes at once."""
        z = self.net.examples[rows]
        side = self.sides(self.truth[rows])
        parts = (side * self.net.beta[rows], side, self.net.weigh(z), self.net.alike(z, z))
        a = climb(self.cost, self.sweeps, *(part.cpu().numpy() for part in parts))
        self.net.beta[rows] = side * torch.from_numpy(a).to(side.device)

    def sides(self, y: Tensor) -> Tensor:
        """Return +1 for the class of an example and -1 for the others, (B,) -> (B, C)."""
        return 2.0 * F.one_hot(y, self.classes) - 1

    def hinge(self, f: Tensor, y: Tensor) -> Tensor:
        """Return how far examples lie within the margins, summed over the machines, (B, C) and (B,) -> (B,)."""
        return (1 - self.sides(y) * f).clamp_min(0).sum(1)

    def loss(self, batch: Any) -> Tensor:
        return self.hinge(self(batch.x), batch.y).mean()

    def measure(self, batch: Any) -> dict[str, Tensor]:
        self.shape = batch.x.shape[1:]
        measured = super().measure(batch)
        return measured | {"loss": self.hinge(measured["logits"], batch.y)}

    def report(self, measured: dict[str, Tensor]) -> dict[str, Any]:
        found = super().report(measured) | {"support": self.supports()}
        pictures = len(self.shape) == 3 and len(self.net.support())
        return found | ({"support_vectors": self.hardest} if pictures else {})

    def supports(self) -> dict[str, Any]:
        """Count the examples kept, the support vectors among them, and those that some machine gives up on."""
        price = self.net.beta.abs().amax(1)
        given_up = int((price >= self.cost).sum())
        return {"examples": int(self.net.count), "vectors": len(self.net.support()), "at_cost": given_up}

    def hardest(self) -> Any:
        """Draw the examples of each class that its machine weighs most."""
        rows = []
        for kind, name in enumerate(self.names):
            own = (self.truth == kind) & (torch.arange(len(self.truth), device=self.truth.device) < self.net.count)
            found = (self.net.beta[:, kind] * own).topk(min(SHOWN, len(own))).indices
            shown = self.net.normalize.undo(self.net.examples[found].view(-1, *self.shape))
            rows.append(figures.Row(images=shown.clamp(0, 1), label=name))
        return figures.sheet("examples that weigh most", rows)


def climb(cost: float, sweeps: int, a: Any, side: Any, f: Any, alike: Any) -> Any:
    """Return better multipliers of a block: a, side and f (B, C), alike (B, B), all of them arrays of numpy.

    There are B small steps in each sweep, and numpy takes one in a fifth of torch's time.
    """
    a, f = a.copy(), f.T.copy()  # (C, B), as a step changes whole rows
    turns = list(zip(a, side, f.T, alike, alike.diagonal(), strict=True))
    for _ in range(sweeps):
        for multiplier, sign, value, column, own in turns:  # views, so that all of them see every step
            step = np.minimum(np.maximum(multiplier + (1 - sign * value) / own, 0), cost) - multiplier
            if step.any():
                multiplier += step
                f += np.outer(step * sign, column)
    return a
