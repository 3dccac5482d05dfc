"""Classification into one of C classes: softmax and cross-entropy.

    loss = -1/B sum_b sum_c t_bc log softmax(net(x_b))_c,   t = (1 - smoothing) one-hot + smoothing / C

x (B, ...), logits (B, C), y (B,); in nats. Label smoothing: Szegedy et al. 2016 (arXiv:1512.00567). Calibration error:
Guo et al. 2017 (arXiv:1706.04599).
"""

from collections.abc import Sequence
from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

from dlcli import figures, metrics
from dlcli.errors import ConfigError
from dlcli.losses import single
from dlcli.model import Model
from dlcli.models.speech import Speech
from dlcli.models.supervised import answers, last_hidden


class Classifier(Model):
    """Learn the class of each example with any net that maps it to C logits."""

    monitor = "accuracy"

    def __init__(
        self,
        *,
        net: nn.Module,
        classes: int,
        names: Sequence[str] | None = None,
        smoothing: float = 0.0,
        vocabulary: str | None = None,
    ):
        super().__init__()
        self.net = net
        self.classes = classes
        self.names = [str(name) for name in (range(classes) if names is None else names)]
        self.smoothing = smoothing
        self.speech = None if vocabulary is None else Speech(vocabulary)

    def forward(self, x: Tensor) -> Tensor:  # (B, ...) -> (B, C)
        return self.net(x)

    def loss(self, batch: Any) -> Tensor:
        return F.cross_entropy(single(self(batch.x)), batch.y, label_smoothing=self.smoothing)

    def measure(self, batch: Any) -> dict[str, Tensor]:
        logits = single(self(batch.x))
        if logits.shape[1] != self.classes:
            raise ConfigError(f"the net has {logits.shape[1]} outputs for {self.classes} classes; they must be as many")
        if batch.y.ndim != 1:
            raise ConfigError("these data have an answer for each part of an example; choose model=unet or tagger")
        return {"loss": F.cross_entropy(logits, batch.y, reduction="none"), "logits": logits, "truth": batch.y}

    def score(self, measured: dict[str, Tensor]) -> dict[str, float]:
        guess = measured["logits"].argmax(1)
        loss = measured["loss"].double().mean().item()
        return {"loss": loss, **metrics.classification(measured["truth"], guess, self.classes)}

    def report(self, measured: dict[str, Tensor]) -> dict[str, Any]:
        truth, logits = measured["truth"], measured["logits"].float()
        probabilities = logits.softmax(1)
        confidence, guess = probabilities.max(1)
        table = metrics.confusion(truth, guess, self.classes)
        positive = F.one_hot(truth, self.classes)
        return {
            "classes": metrics.per_class(table, self.names),
            **({"top5": metrics.top(logits, truth, 5)} if self.classes > 5 else {}),
            "auc": metrics.mean_auc(probabilities, positive),
            "brier": metrics.brier(probabilities, truth),
            "calibration_error": metrics.calibration_error(confidence, guess == truth),
            "confusion": figures.confusion(table, self.names),
            "roc": lambda: figures.roc(probabilities, positive, self.names),
            "precision_recall": lambda: figures.precision_recall(probabilities, positive, self.names),
            "calibration": lambda: figures.calibration(*metrics.calibration(confidence, guess == truth)),
        }

    def show(self, batch: Any) -> dict[str, Tensor | str]:
        guess, truth = self(batch.x).argmax(1).tolist(), batch.y.tolist()
        spell = None if self.speech is None else self.speech.spell
        return answers(batch.x, [self.names[g] for g in guess], [self.names[t] for t in truth], spell=spell)

    def embed(self, batch: Any) -> Tensor:
        return last_hidden(self.net, batch.x)
