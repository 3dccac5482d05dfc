"""The perceptron (Rosenblatt 1958), for any number of classes (Duda & Hart 1973).

    guess = argmax_c z_c,  z = W x + b
    where guess != truth:  W_truth += rate x,  W_guess -= rate x   (and b likewise, with x = 1)

x (B, D) input of the last linear layer, W (C, D), b (C,). With two classes the difference of the rows, w = W_1 - W_0,
is Rosenblatt's unit: its output is the step function of w x + b, and each error adds +-2 rate x to it. There is no
derivative: a step has none that helps, so the rule writes what it learns into `.grad` by hand. A batch adds up its
errors' steps; batch=1 is the original. If some line separates the classes, the errors end after finitely many steps.

All weights start at zero: then the learning rate scales W and b and changes no decision, so any rate will do.
"""

from collections.abc import Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dlcli.model import Clock, Update
from dlcli.models.classifier import Classifier
from dlcli.models.supervised import last_hidden, linear_layers, one_class


class Perceptron(Classifier):
    """Correct the last linear layer of a net by its mistakes; what comes before that layer stays as it is."""

    def __init__(self, *, net: nn.Module, classes: int, names: list[str] | None = None):
        super().__init__(net=net, classes=classes, names=names)
        for parameter in self.unit.parameters():
            nn.init.zeros_(parameter)

    @property
    def unit(self) -> nn.Linear:
        """The layer that learns."""
        return linear_layers(self.net)[-1]

    def players(self) -> dict[str, Any]:
        return {"model": self.unit.parameters()}

    def updates(self, batch: Any, clock: Clock) -> Iterator[Update]:
        with torch.no_grad(), torch.autocast(batch.x.device.type, enabled=False):
            y = one_class(batch.y)
            x = last_hidden(self.net, batch.x).to(self.unit.weight.dtype)
            outputs, truth = (F.one_hot(c, self.classes).to(x.dtype) for c in (self.unit(x).argmax(1), y))
            error = outputs - truth  # (B, C), zero where the guess is right
            self.unit.weight.grad = error.T @ x
            self.unit.bias.grad = error.sum(0)
        yield Update(None)

    def measure(self, batch: Any) -> dict[str, Tensor]:
        """Measure as a classifier does, but for the loss: how far the winner lies above the truth, 0 if right."""
        measured = super().measure(batch)
        logits = measured["logits"]
        lead = logits.max(1).values - logits.gather(1, batch.y[:, None])[:, 0]
        return {**measured, "loss": lead}
