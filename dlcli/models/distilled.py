"""Defensive distillation (Papernot, McDaniel, Wu, Jha & Swami 2016, arXiv:1511.04508).

    first half    teacher:  CE(teacher(x) / T, y)
    second half   net:      -sum_c p_c log softmax(net(x) / T)_c,   p = softmax(teacher(x) / T)

The net answers at T = 1, so that its logits are about T times larger than usual: its probabilities round to 0 and 1,
and the gradient of a cross-entropy vanishes. That hides the way to adversarial examples and leaves the examples
themselves (Carlini & Wagner 2017, arXiv:1608.04644): with log-odds or margins the attack succeeds again.

x (B, C, H, W), logits (B, classes), y (B,).
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dlcli.errors import ConfigError
from dlcli.losses import single
from dlcli.model import Clock, Update
from dlcli.models.classifier import Classifier
from dlcli.models.robust import evaluating


class Distilled(Classifier):
    """Train a teacher for half of the run, and the net on the teacher's soft answers for the other half."""

    rising = Classifier.rising | {"teacher_accuracy"}

    def __init__(
        self,
        *,
        net: nn.Module,
        teacher: nn.Module,
        classes: int,
        names: Sequence[str] | None = None,
        temperature: float = 20.0,
    ):
        super().__init__(net=net, classes=classes, names=names)
        if not 0 < temperature < float("inf"):
            raise ConfigError(f"model.temperature={temperature} must be above 0; 1 is an ordinary softmax")
        self.teacher, self.temperature = teacher, temperature

    def players(self) -> dict[str, Iterable]:
        return {"teacher": self.teacher.parameters(), "model": self.net.parameters()}

    def updates(self, batch: Any, clock: Clock) -> Iterator[Update]:
        if clock.stage([1, 1]) == 0:
            yield Update(F.cross_entropy(single(self.teacher(batch.x)) / self.temperature, batch.y), "teacher")
        else:
            yield Update(F.cross_entropy(single(self(batch.x)) / self.temperature, self.soft(batch.x)), "model")

    def ahead(self, clock: Clock) -> list[str]:
        return ["net"] if 2 * clock.step <= clock.steps else []

    def measure(self, batch: Any) -> dict[str, Tensor]:
        return {**super().measure(batch), "taught": self.teacher(batch.x).argmax(1) == batch.y}

    def score(self, measured: dict[str, Tensor]) -> dict[str, float]:
        return {**super().score(measured), "teacher_accuracy": measured["taught"].double().mean().item()}

    @torch.no_grad()
    def soft(self, x: Tensor) -> Tensor:
        """Return the teacher's probabilities at the temperature, (B, classes)."""
        with evaluating(self.teacher):
            return (self.teacher(x).float() / self.temperature).softmax(1)
