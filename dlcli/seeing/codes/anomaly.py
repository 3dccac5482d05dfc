"""Strangers found by their error: how well a model tells a class that it has never seen from those it has learned.

    score of x: its loss, and |rebuild(x) - x|^2, by the model and by principal components of the same number
    AUC = how often a stranger scores above an example of a learned class, ties counted half; 0.5 is chance

`dl train without=[CLASS]` leaves the class out of training and validation; the test split keeps it.
"""

from typing import Any

import torch
from torch import Tensor

from dlcli.figures import curves
from dlcli.seeing.codes.reconstruction import squared
from dlcli.seeing.codes.scene import Codes


def strangers(codes: Codes) -> str | None:
    """Ask for classes that were left out of the training, and for examples of them."""
    if not codes.without:
        return "the training knew all classes; leave one out with `dl train without=[CLASS]`"
    if not bool(torch.isin(codes.split.data.y, torch.tensor(codes.without, device=codes.split.data.y.device)).any()):
        return "the split has no example of the classes that were left out; take split=test"
    return None


def scores(codes: Codes) -> dict[str, Tensor]:
    """Return how strange each example of the whole split is, in several ways, (N,) each."""
    found: dict[str, list[Tensor]] = {"squared error": []}
    for batch in codes.split.epoch(0):
        x = batch.x.cpu()
        found["squared error"].append(squared(x, codes.rebuild(x)))
        if codes.principal is not None:
            found.setdefault("components", []).append(squared(x, codes.lift(codes.project(x))))
    loss = {"loss": codes.measured["loss"]} if codes.measured["loss"].ndim == 1 else {}
    return loss | {name: torch.cat(parts) for name, parts in found.items()}


def draw(codes: Codes) -> dict[str, Any]:
    """Draw the ROC of the classes that were left out, and tell the area for each of them."""
    from sklearn.metrics import roc_auc_score, roc_curve

    found, y = scores(codes), codes.split.data.y.cpu()
    strange = torch.isin(y, torch.tensor(codes.without))
    table, lines = {}, {}
    for kind in codes.without:
        rows = ~strange | (y == kind)
        table[codes.names[kind]] = {
            name: float(roc_auc_score(y[rows] == kind, score[rows])) for name, score in found.items()
        }
    for name, score in found.items():
        across, up, _ = roc_curve(strange, score)
        lines[f"{name} ({roc_auc_score(strange, score):.3f})"] = (across, up)
    names = ", ".join(codes.names[kind] for kind in codes.without)
    title = f"{names} against the classes that were learned (area)"
    axes = ("share of the learned that seem strange", "share of the strangers found")
    return {"anomaly": curves(title, *axes, lines, {"chance": ([0, 1], [0, 1])}), "area under the ROC": table}
