"""Yes-or-no questions: one sigmoid for each of L labels, and binary cross-entropy.

    loss = -1/(B L) sum_b sum_l t_bl log s(z_bl) + (1 - t_bl) log(1 - s(z_bl)),   s(z) = 1 / (1 + exp(-z))

Two classes: L = 1, y (B,) holds 0 or 1. Several labels at once: y (B, L). x (B, ...), logits z (B, L), loss in nats.
A label is given where s(z) > 1/2. Accuracy counts the examples of which every label is right.
"""

from collections.abc import Sequence
from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

from dlcli import figures, metrics
from dlcli.model import Model
from dlcli.models.supervised import answers, last_hidden


class Binary(Model):
    """Learn L yes-or-no labels with any net that maps an example to L logits.

    `names` are those of the labels or, where L = 1, of the two classes.
    """

    monitor = "accuracy"
    rising = Model.rising | {"label_accuracy"}

    def __init__(self, *, net: nn.Module, labels: int, names: Sequence[str] | None = None):
        super().__init__()
        self.net = net
        self.labels = labels
        defaults = ["no", "yes"] if labels == 1 else [f"label {i}" for i in range(labels)]
        self.names = [str(name) for name in (defaults if names is None else names)]

    def forward(self, x: Tensor) -> Tensor:  # (B, ...) -> (B, L)
        return self.net(x)

    def truth(self, batch: Any) -> Tensor:
        """Return the labels as numbers, (B, L)."""
        return batch.y.view(-1, self.labels).float()

    def loss(self, batch: Any) -> Tensor:
        return F.binary_cross_entropy_with_logits(self(batch.x), self.truth(batch))

    def measure(self, batch: Any) -> dict[str, Tensor]:
        logits, truth = self(batch.x), self.truth(batch)
        loss = F.binary_cross_entropy_with_logits(logits, truth, reduction="none").mean(1)
        return {"loss": loss, "logits": logits, "truth": truth}

    def score(self, measured: dict[str, Tensor]) -> dict[str, float]:
        truth, guess = measured["truth"] > 0, measured["logits"] > 0
        right = guess == truth
        accuracy = right.all(1).double().mean().item()
        macro = {name: values.mean().item() for name, values in metrics.label_rates(truth, guess).items()}
        return {
            "loss": measured["loss"].double().mean().item(),
            "accuracy": accuracy,
            "error": 1 - accuracy,
            "label_accuracy": right.double().mean().item(),
            **macro,
            "auc": metrics.mean_auc(measured["logits"], truth),
        }

    def report(self, measured: dict[str, Tensor]) -> dict[str, Any]:
        truth, probabilities = measured["truth"] > 0, measured["logits"].float().sigmoid()
        guess, confidence = measured["logits"] > 0, probabilities.maximum(1 - probabilities)
        names = self.names if self.labels > 1 else self.names[-1:]
        columns = {**metrics.label_rates(truth, guess), "support": truth.sum(0)}
        right = (guess == truth).flatten()
        found = {
            "labels": {
                name: {key: values[i].item() for key, values in columns.items()} for i, name in enumerate(names)
            },
            "brier": (probabilities.double() - truth.double()).square().mean().item(),
            "calibration_error": metrics.calibration_error(confidence.flatten(), right),
            "roc": lambda: figures.roc(probabilities, truth, names),
            "precision_recall": lambda: figures.precision_recall(probabilities, truth, names),
            "calibration": lambda: figures.calibration(*metrics.calibration(confidence.flatten(), right)),
        }
        if self.labels > 1:
            return found
        return {**found, "confusion": figures.confusion(metrics.confusion(truth[:, 0], guess[:, 0], 2), self.names)}

    def describe(self, labels: Tensor) -> list[str]:
        """Return the names of what is set, for each row of (B, L)."""
        if self.labels == 1:
            return [self.names[int(row)] for row in labels[:, 0]]
        return [
            ", ".join(name for name, given in zip(self.names, row, strict=True) if given) for row in labels.tolist()
        ]

    def show(self, batch: Any) -> dict[str, Tensor | str]:
        return answers(batch.x, self.describe(self(batch.x) > 0), self.describe(self.truth(batch) > 0))

    def embed(self, batch: Any) -> Tensor:
        return last_hidden(self.net, batch.x)
