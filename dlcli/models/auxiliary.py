"""Classification with auxiliary heads (Szegedy et al. 2015, arXiv:1409.4842): loss terms in the middle of a deep net.

    loss = CE(main, y) + weight sum_h CE(head_h, y)

The net offers `heads(x)`: logits (B, C) of every head, the main one last. Only the main head is
evaluated.
"""

from collections.abc import Sequence
from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

from dlcli.errors import ConfigError
from dlcli.models.classifier import Classifier


class AuxiliaryClassifier(Classifier):
    """Train every head of a net, evaluate the last."""

    def __init__(
        self,
        *,
        net: nn.Module,
        classes: int,
        names: Sequence[str] | None = None,
        smoothing: float = 0.0,
        weight: float = 0.3,
    ):
        super().__init__(net=net, classes=classes, names=names, smoothing=smoothing)
        if not hasattr(net, "heads"):
            raise ConfigError(
                f"{type(net).__name__} has no auxiliary heads; take model=googlenet, or a plain Classifier"
            )
        self.weight = weight

    def loss(self, batch: Any) -> Tensor:
        heads: list[Tensor] = self.net.heads(batch.x)  # type: ignore[operator]
        *others, main = (F.cross_entropy(logits, batch.y, label_smoothing=self.smoothing) for logits in heads)
        return main + self.weight * sum(others, main.new_zeros(()))
