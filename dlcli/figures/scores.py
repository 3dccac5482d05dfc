"""How good a model is: confusion, ROC, precision and recall, calibration, predicted against true numbers.

N examples, C classes or curves, K targets.
"""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from dlcli.figures.canvas import ACCENT, INK, MOST, PALE, canvas, colours, plain

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def confusion(table: Tensor, names: Sequence[str]) -> "Figure":
    """Draw a confusion table (C, C): rows are the truth, columns what was predicted; colour is the share of the row."""
    figure, axes = canvas("confusion", "predicted", "true")
    shares = table / table.sum(1, keepdim=True).clamp(min=1)
    axes.imshow(shares.numpy(), cmap="Blues", vmin=0, vmax=1)
    axes.spines[:].set_visible(False)
    step = -(-len(names) // 25)  # more names would overlap
    ticks, labels = range(0, len(names), step), plain(names, 16)[::step]
    size = 10 if len(names) <= 12 else 7
    turned: dict[str, Any] = (
        {"rotation": 45, "ha": "right", "rotation_mode": "anchor"} if sum(map(len, labels)) > 40 else {}
    )
    axes.set_xticks(ticks, labels, fontsize=size, **turned)
    axes.set_yticks(ticks, labels, fontsize=size)
    if len(names) <= 20:
        for row, column in torch.cartesian_prod(*[torch.arange(len(names))] * 2).tolist():
            ink = "white" if shares[row, column] > 0.5 else INK if table[row, column] else PALE
            axes.text(column, row, f"{table[row, column]}", ha="center", va="center", color=ink, fontsize=size - 1)
    return figure


def _curves(axes: "Axes", scores: Tensor, positive: Tensor, names: Sequence[str], curve: Callable) -> None:
    """Draw one labelled curve for each column of (N, C) that has positives and negatives, `MOST` at most."""
    mixed = [i for i in range(len(names)) if 0 < positive[:, i].sum() < len(positive)]
    for i, colour in zip(mixed[:MOST], colours(min(MOST, len(mixed))), strict=False):
        across, up, label = curve(positive[:, i].int().numpy(), scores[:, i].float().numpy())
        axes.plot(across, up, color=colour, lw=1.5, label=f"{plain(names)[i]} ({label})")
    axes.set(xlim=(-0.01, 1.01), ylim=(-0.01, 1.01))
    if mixed:
        rest = f"first {MOST} of {len(mixed)}" if len(mixed) > MOST else None
        axes.legend(loc="center left", bbox_to_anchor=(1, 0.5), frameon=False, fontsize=9, title=rest)


def roc(scores: Tensor, positive: Tensor, names: Sequence[str]) -> "Figure":
    """Draw the true against the false positives of each class or label, (N, C) each, and name the area."""
    from sklearn.metrics import auc, roc_curve

    def curve(truth: Any, score: Any) -> tuple[Any, Any, str]:
        across, up, _ = roc_curve(truth, score)
        return across, up, f"{auc(across, up):.3f}"

    figure, axes = canvas("ROC, each class against the rest (area)", "false positive rate", "true positive rate")
    axes.plot([0, 1], [0, 1], color=PALE, lw=1, ls="--")
    _curves(axes, scores, positive, names, curve)
    return figure


def precision_recall(scores: Tensor, positive: Tensor, names: Sequence[str]) -> "Figure":
    """Draw precision against recall of each class or label, (N, C) each, and name the average precision."""
    from sklearn.metrics import average_precision_score, precision_recall_curve

    def curve(truth: Any, score: Any) -> tuple[Any, Any, str]:
        precision, recall, _ = precision_recall_curve(truth, score)
        return recall, precision, f"{average_precision_score(truth, score):.3f}"

    figure, axes = canvas("precision and recall (average precision)", "recall", "precision")
    _curves(axes, scores, positive, names, curve)
    return figure


def calibration(confidence: Tensor, accuracy: Tensor, count: Tensor) -> "Figure":
    """Draw accuracy against confidence, both by bin, and how many examples each bin holds."""
    figure, axes = canvas("calibration", "confidence", "accuracy")
    filled, edges = count > 0, torch.arange(len(count)) / len(count)
    axes.plot([0, 1], [0, 1], color=PALE, lw=1, ls="--", label="calibrated")
    shares = (count / count.sum().clamp(min=1)).numpy()
    axes.bar(edges.numpy(), shares, 1 / len(count), align="edge", color=PALE, alpha=0.5, label="share of examples")
    axes.plot(confidence[filled].numpy(), accuracy[filled].numpy(), "o-", color=ACCENT, label="accuracy")
    axes.set(xlim=(0, 1.01), ylim=(0, 1.02))
    axes.legend(frameon=False, loc="upper left")
    return figure


def scatter(truth: Tensor, prediction: Tensor) -> "Figure":
    """Draw predicted against true numbers, (N, K) each; a perfect prediction lies on the diagonal."""
    figure, axes = canvas("predictions", "true", "predicted")
    for k, colour in enumerate(colours(truth.shape[1])):
        axes.scatter(
            truth[:, k].numpy(), prediction[:, k].numpy(), s=14, alpha=0.6, color=colour, lw=0, label=f"target {k}"
        )
    axes.axline((truth.mean().item(), truth.mean().item()), slope=1, color=INK, lw=1, ls="--")
    if 1 < truth.shape[1] <= MOST:
        axes.legend(frameon=False)
    return figure


def residuals(truth: Tensor, prediction: Tensor) -> "Figure":
    """Draw the histogram of predicted minus true, (N, K) each."""
    figure, axes = canvas("residuals", "predicted - true", "examples")
    errors = (prediction - truth).flatten()
    reach = errors.abs().max().item() or 1.0  # zero stands in the middle
    axes.hist(errors.numpy(), bins=31, range=(-reach, reach), color=ACCENT, edgecolor="white", lw=0.5)
    axes.axvline(0, color=INK, lw=1, ls="--")
    return figure
