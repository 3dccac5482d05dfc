"""What a mode collapse or a good memory would show in: classes of samples, near duplicates, nearest training examples.

Distances are root mean squares over the numbers of an example: 0.1 means a tenth of the range from black to white in
each pixel. As many duplicates as there are pairs of samples closer than the closest pair of as many real examples: one
pair in S would be a duplicate, were there S examples that are drawn alike (Arora & Zhang 2017, arXiv:1706.08224).
"""

from typing import Any

import torch
from torch import Tensor

from dlcli import fidelity, figures
from dlcli.figures import Row

SHOWN = 10  # pictures in a row
COMPARED = 1000  # samples whose nearest training examples are looked for


def looks(exam: Any, kinds: dict[str, Tensor], names: list[str]) -> dict[str, Any]:
    """Return tables and figures; `kinds` holds the judge's answers for samples, real examples and the reference."""
    both = {"samples": exam.samples, "real": exam.real}
    found: dict[str, Any] = {"duplicates": birthdays(exam)}
    if exam.against == "training":
        away = {name: apart(x[:COMPARED], exam.reference)[0] for name, x in both.items()}
        found["nearest training example"] = {name: {"mean distance": far.mean().item()} for name, far in away.items()}
    shares = {name: fidelity.shares(kinds[name], len(names)).tolist() for name in both}
    labelled = {name: dict(zip(names, values, strict=True)) for name, values in shares.items()}
    found["classes of samples"] = figures.bars("classes, as the judge sees them", "share", labelled)
    if exam.samples.ndim == 4:
        found["closest pairs"] = pairs(exam)
        found |= {"nearest": neighbours(exam)} if exam.against == "training" else {"translation": translated(exam)}
    return found


def apart(x: Tensor, others: Tensor) -> tuple[Tensor, Tensor]:
    """Return distance and row of the nearest of the others, root mean squares over the numbers of an example."""
    away, rows = fidelity.nearest(x.flatten(1), others.flatten(1))
    return away / x[0].numel() ** 0.5, rows


def birthdays(exam: Any) -> dict[str, dict[str, float]]:
    """Return how many duplicates there are, and how many different samples that speaks for (at least, where none)."""
    limit = fidelity.closest(exam.real.flatten(1), 1)[0][0].item()
    count = len(exam.samples)
    total = count * (count - 1) / 2
    reference = exam.reference[:count]
    rows = {}
    for name, x in (("samples", exam.samples), (exam.against, reference)):
        same = fidelity.collisions(x.flatten(1), limit)
        rows[name] = {"pairs": float(same), "support": total / max(1, same)}
    return rows


def pairs(exam: Any) -> Any:
    """Draw the closest pairs of samples, and below them those of real examples."""
    rows = []
    for label, x in (("samples", exam.samples), ("real", exam.real)):
        away, found = fidelity.closest(x.flatten(1), SHOWN)
        captions = [f"{value / x[0].numel() ** 0.5:.3f}" for value in away.tolist()]
        rows += [Row(x[found[:, 0]], label=label, captions=captions), Row(x[found[:, 1]])]
    return figures.sheet("the closest pairs, and how far apart they are", rows)


def neighbours(exam: Any) -> Any:
    """Draw samples, and below them the training examples that are nearest by pixels."""
    chosen = torch.linspace(0, len(exam.samples) - 1, min(2 * SHOWN, len(exam.samples))).long()
    rows = []
    for part in chosen.split(SHOWN):
        away, found = apart(exam.samples[part], exam.reference)
        captions = [f"{value:.3f}" for value in away.tolist()]
        rows += [
            Row(exam.samples[part], label="samples"),
            Row(exam.reference[found], label="nearest", captions=captions),
        ]
    return figures.sheet("samples, and the nearest training examples", rows)


def translated(exam: Any) -> Any:
    """Draw pictures, and below them what they became."""
    rows = []
    for start in range(0, min(2 * SHOWN, len(exam.samples)), SHOWN):
        part = slice(start, start + SHOWN)
        rows += [Row(exam.reference[part], label="given"), Row(exam.samples[part], label="translated")]
    return figures.sheet("pictures, and what they became", rows)
