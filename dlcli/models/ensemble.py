"""Averaging many models as a defence: nets that learn side by side and answer with their mean probability.

    loss = sum_m CE(net_m(x), y);   log p(c | x) = log 1/M sum_m softmax(net_m(x))_c

No member sees another one's gradient, so that each learns exactly as it would alone with the same batches: only the
first weights differ. What fools one of them tends to fool all (Szegedy et al. 2014, arXiv:1312.6199).
"""

from typing import Any

import torch.nn.functional as F
from torch import Tensor

from dlcli.errors import ConfigError
from dlcli.models.classifier import Classifier


class Ensemble(Classifier):
    """Train every member of a committee by its own loss."""

    def __init__(self, *, net: Any, classes: int, names: Any = None, smoothing: float = 0.0):
        super().__init__(net=net, classes=classes, names=names, smoothing=smoothing)
        if not hasattr(net, "members"):
            raise ConfigError(f"{type(net).__name__} has no members; take nets.committee.Committee")

    def loss(self, batch: Any) -> Tensor:
        members: Any = self.net.members
        losses = [F.cross_entropy(member(batch.x), batch.y, label_smoothing=self.smoothing) for member in members]
        return sum(losses[1:], start=losses[0])
