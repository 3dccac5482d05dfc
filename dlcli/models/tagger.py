"""Tagging: a class for every token of a text.

    loss = -mean over tagged t of log softmax(net(x)_t)_{y_t}
    F1_c = 2 hits_c / (guessed_c + present_c), over all tokens of all texts; f1: mean over the classes that occur

x (B, T) int64, logits (B, T, C), y (B, T) int64, IGNORED where no class is asked for. In nats.
"""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dlcli import figures, metrics
from dlcli.batch import IGNORED
from dlcli.losses import single
from dlcli.model import Model
from dlcli.models.speech import Speech

MARKS = ".123456789abcdefghijklmnopqrstuvwxyz"  # one for each class, none for the first


class Tagger(Model):
    """Learn the class of each token with any net that maps a text to a sequence of logits."""

    monitor = "f1"

    def __init__(
        self, *, net: nn.Module, classes: int, names: Sequence[str] | None = None, vocabulary: str | None = None
    ):
        super().__init__()
        self.net, self.classes = net, classes
        self.names = [str(name) for name in (range(classes) if names is None else names)]
        self.speech = Speech(vocabulary)

    def forward(self, x: Tensor) -> Tensor:  # (B, T) -> (B, T, C)
        return self.net(x)

    def loss(self, batch: Any) -> Tensor:
        return F.cross_entropy(single(self(batch.x)).flatten(0, 1), batch.y.flatten(), ignore_index=IGNORED)

    def counts(self, batch: Any) -> Tensor | int:
        return (batch.y != IGNORED).sum()

    def measure(self, batch: Any) -> dict[str, Tensor]:
        logits = self(batch.x).float()
        nats = F.cross_entropy(logits.mT, batch.y, ignore_index=IGNORED, reduction="none").sum(1)
        asked = batch.y != IGNORED
        count, cells = asked.sum(1), self.classes**2
        pair = batch.y * self.classes + logits.argmax(2) + torch.arange(batch.size, device=nats.device)[:, None] * cells
        # true and guessed class of each token, counted for each text: texts differ in length, tables do not
        table = pair[asked].bincount(minlength=batch.size * cells).view(-1, self.classes, self.classes)
        return {"loss": nats / count.clamp(min=1), "nats": nats, "count": count, "table": table}

    def score(self, measured: dict[str, Tensor]) -> dict[str, float]:
        table = measured["table"].sum(0)
        present = table.sum(0) + table.sum(1) > 0
        rates = {name: values[present].mean().item() for name, values in metrics.rates(table).items()}
        total = measured["count"].sum().clamp(min=1)
        loss = (measured["nats"].double().sum() / total).item()
        return {"loss": loss, "accuracy": (table.trace() / total).item(), **rates}

    def report(self, measured: dict[str, Tensor]) -> dict[str, Any]:
        table = measured["table"].sum(0)
        return {
            "classes": metrics.per_class(table.cpu(), self.names),
            "confusion": figures.confusion(table.cpu(), self.names),
        }

    def show(self, batch: Any) -> dict[str, Tensor | str]:
        guess = self(batch.x).argmax(2)
        texts = [self.marked(*rows) for rows in zip(batch.x, guess, batch.y, strict=True)]
        legend = ", ".join(f"{mark} {name}" for mark, name in zip(MARKS, self.names, strict=False))
        return {"tags": "\n".join([f"text, predicted, true: {legend}", "", *texts])}

    def marked(self, x: Tensor, guess: Tensor, truth: Tensor) -> str:
        """Return three lines one below the other, as Markdown takes them literally: tokens and their two tags."""
        said = self.speech.labels(x)
        tags = [[self.mark(n) for n in row.tolist()] for row in (guess.masked_fill(truth == IGNORED, IGNORED), truth)]
        lines = [[part.ljust(len(token)) for part, token in zip(row, said, strict=False)] for row in (said, *tags)]
        gap = "" if all(len(token) == 1 for token in said) else " "
        return "\n".join(["```", *(gap.join(line) for line in lines), "```"])

    def mark(self, number: int) -> str:
        """Return the sign of a class; nothing where none is asked for."""
        return " " if number == IGNORED else MARKS[number % len(MARKS)]
