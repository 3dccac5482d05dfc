"""Segmentation: a class for every pixel.

    loss = sum_p w(p) (-log softmax(net(x))_{y(p)}(p)) / sum_p w(p)                      (Ronneberger et al. 2015)
    Dice_c = 2 |G_c & T_c| / (|G_c| + |T_c|),   IoU_c = |G_c & T_c| / |G_c | T_c|,   G guessed, T true pixels of class c
    pixel error = share of the pixels with another class than the true one

x (B, C, H, W), logits (B, classes, h, w) with h <= H and w <= W for nets without padding, which see the border only as
context; then mask y (B, H, W) and weights w (B, H, W) are cut to their middle. arXiv:1505.04597.
"""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dlcli import metrics
from dlcli.errors import ConfigError
from dlcli.model import Model

COLOURS = ((0.9, 0.2, 0.1), (0.1, 0.6, 0.9), (0.2, 0.8, 0.3), (0.95, 0.75, 0.1), (0.7, 0.3, 0.9))
GREY = (0.3, 0.59, 0.11)  # shares of red, green and blue in what the eye takes for brightness


class Segmenter(Model):
    """Learn the class of each pixel with any net that maps pictures to a map of logits."""

    monitor = "dice"
    rising = Model.rising | {"dice", "iou"}

    def __init__(self, *, net: nn.Module, classes: int, names: Sequence[str] | None = None):
        super().__init__()
        self.net = net
        self.classes = classes
        self.names = [str(name) for name in (range(classes) if names is None else names)]

    def forward(self, x: Tensor) -> Tensor:  # (B, C, H, W) -> (B, classes, h, w)
        return self.net(x)

    def counts(self, batch: Any) -> Tensor | int:
        return batch.w.sum()  # of the border too, which nets without padding leave out

    def loss(self, batch: Any) -> Tensor:
        logits = self(batch.x)
        weight = middle(batch.w, logits)
        return (self.errors(logits, batch.y) * weight).sum() / weight.sum()

    def errors(self, logits: Tensor, y: Tensor) -> Tensor:
        """Return the cross-entropy of each pixel, (B, h, w)."""
        return F.cross_entropy(logits, middle(y, logits), reduction="none")

    def measure(self, batch: Any) -> dict[str, Tensor]:
        if batch.y.ndim != 3:
            raise ConfigError(
                "these data have one answer for a whole picture, and segmentation needs one for each pixel; "
                "choose data with masks, such as data=discs"
            )
        logits = self(batch.x)
        guess = F.one_hot(logits.argmax(1), self.classes).flatten(1, 2)  # (B, h * w, classes)
        truth = F.one_hot(middle(batch.y, logits), self.classes).flatten(1, 2)
        return {
            "loss": self.errors(logits, batch.y).flatten(1).mean(1),
            "hits": (guess & truth).sum(1),  # (B, classes), as are the others
            "guessed": guess.sum(1),
            "present": truth.sum(1),
        }

    def score(self, measured: dict[str, Tensor]) -> dict[str, float]:
        rows = self.by_class(measured)
        hits, present = measured["hits"].sum(), measured["present"].sum()
        means = {name: sum(row[name] for row in rows.values()) / len(rows) for name in ("dice", "iou")}
        return {"loss": measured["loss"].double().mean().item(), **means, "pixel_error": 1 - (hits / present).item()}

    def report(self, measured: dict[str, Tensor]) -> dict[str, Any]:
        return {"classes": self.by_class(measured)}

    def by_class(self, measured: dict[str, Tensor]) -> dict[str, dict[str, float]]:
        """Return Dice, intersection over union and number of pixels of each class that is there."""
        hits, guessed, present = (measured[name].sum(0) for name in ("hits", "guessed", "present"))
        dice = metrics.share(2 * hits, guessed + present)
        iou = metrics.share(hits, guessed + present - hits)
        return {
            name: {"dice": dice[c].item(), "iou": iou[c].item(), "pixels": present[c].item()}
            for c, name in enumerate(self.names)
            if present[c] + guessed[c] > 0
        }

    def show(self, batch: Any) -> dict[str, Tensor | str]:
        logits = self(batch.x)
        x, truth = middle(batch.x, logits), middle(batch.y, logits)
        return {"input": x, "true": overlay(x, truth), "predicted": overlay(x, logits.argmax(1))}


def middle(whole: Tensor, logits: Tensor) -> Tensor:
    """Cut (..., H, W) to the height and width of the logits, as much on each side."""
    height, width = logits.shape[-2:]
    top, left = (whole.shape[-2] - height) // 2, (whole.shape[-1] - width) // 2
    return whole[..., top : top + height, left : left + width]


def overlay(x: Tensor, labels: Tensor, opacity: float = 0.5) -> Tensor:
    """Return grey pictures (B, 3, H, W) with every class but the first in a colour over them; labels (B, H, W)."""
    shares = x.new_tensor(GREY).view(1, 3, 1, 1) if x.shape[1] == 3 else 1 / x.shape[1]
    grey = (x * shares).sum(1, keepdim=True).expand(-1, 3, -1, -1)
    palette = x.new_tensor(COLOURS)[(labels - 1) % len(COLOURS)].movedim(-1, 1)  # (B, 3, H, W)
    return torch.where(labels[:, None] > 0, torch.lerp(grey, palette, opacity), grey)
