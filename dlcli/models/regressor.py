"""Regression: the mean squared error of K standardized targets.

    loss = 1/(B K) sum_b sum_k (net(x_b)_k - (y_bk - mean_k) / std_k)^2

x (B, ...), y (B, K) in its own units, mean and std (K,) of the training targets. The net works in standard
deviations, so that rates and initial weights suit any unit; predictions and scores come in the units of y.
"""

from collections.abc import Sequence
from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn, tensor

from dlcli import figures, metrics
from dlcli.model import Model
from dlcli.models.supervised import answers, last_hidden


class Regressor(Model):
    """Learn numbers with any net that maps an example to K of them."""

    monitor = "mse"

    mean: Tensor
    std: Tensor

    def __init__(self, *, net: nn.Module, mean: Sequence[float], std: Sequence[float]):
        super().__init__()
        self.net = net
        self.register_buffer("mean", tensor([float(m) for m in mean]))
        self.register_buffer("std", tensor([float(s) or 1.0 for s in std]))

    def forward(self, x: Tensor) -> Tensor:  # (B, ...) -> (B, K), in the units of y
        return self.mean + self.std * self.net(x)

    def errors(self, output: Tensor, y: Tensor) -> Tensor:
        """Return the squared errors in squared standard deviations, (B, K)."""
        target = (y.view(-1, len(self.mean)) - self.mean) / self.std
        return F.mse_loss(output, target, reduction="none")

    def loss(self, batch: Any) -> Tensor:
        return self.errors(self.net(batch.x), batch.y).mean()

    def measure(self, batch: Any) -> dict[str, Tensor]:
        output = self.net(batch.x)
        return {
            "loss": self.errors(output, batch.y).mean(1),
            "prediction": self.mean + self.std * output,
            "truth": batch.y.view(-1, len(self.mean)),
        }

    def score(self, measured: dict[str, Tensor]) -> dict[str, float]:
        loss = measured["loss"].double().mean().item()
        return {"loss": loss, **metrics.regression(measured["prediction"], measured["truth"])}

    def report(self, measured: dict[str, Tensor]) -> dict[str, Any]:
        prediction, truth = measured["prediction"], measured["truth"]
        return {
            "targets": {
                f"target {k}": metrics.regression(prediction[:, [k]], truth[:, [k]]) for k in range(truth.shape[1])
            },
            "scatter": figures.scatter(truth, prediction),
            "residuals": figures.residuals(truth, prediction),
        }

    def show(self, batch: Any) -> dict[str, Tensor | str]:
        rows = (self(batch.x), batch.y.view(-1, len(self.mean)))
        return answers(batch.x, *([", ".join(f"{v:.4g}" for v in row) for row in part.tolist()] for part in rows))

    def embed(self, batch: Any) -> Tensor:
        return last_hidden(self.net, batch.x)
