"""Calculating with the codes of a generator, which has no encoder: a judge says what its samples show.

    z' = z + t (mean code of the samples of class B - mean code of those of class A)    (Radford et al. 2016,
                                                                                        arXiv:1511.06434)

G(z) is of class A; the sum arrives if the judge takes G(z') for one of class B. Means are taken over other codes than
those that are moved. Beside it the same sum of pixels, which needs no code. z (N, Z); t counts steps.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from dlcli.figures import Row, sheet
from dlcli.seeing.codes.arithmetic import COUNTED, aims
from dlcli.seeing.codes.scene import FEW, means

LEARNED = 2000  # codes of which means are taken
LEAST = 5  # samples of a class that a mean is worth taking of


def sums(model: Any, sampler: Any, ask: Callable[[Tensor], Tensor], names: list[str]) -> dict[str, Any]:
    """Return figure and table of moved samples; nothing for a model without free codes, or of a single class.

    `ask` gives the class of each picture (N, C, H, W) -> (N,).
    """
    if not hasattr(model, "generate") or model.extra:  # a generator that is told the class needs no such sum
        return {}
    z = sampler(LEARNED + COUNTED, model.latent).cpu()
    x = drawn(model, z)
    if x.ndim != 4:
        return {}
    y = ask(x)
    kinds = (torch.bincount(y[:LEARNED], minlength=len(names)) >= LEAST).nonzero().flatten()
    if len(kinds) < 2:
        return {}
    codes, pixels = (means(part[:LEARNED], y[:LEARNED], len(names)) for part in (z, x))
    rows = LEARNED + torch.isin(y[LEARNED:], kinds).nonzero().flatten()
    own, aim = y[rows], aims(y[rows], kinds)
    moved = {
        "one step": drawn(model, z[rows] + codes[aim] - codes[own]),
        "two steps": drawn(model, z[rows] + 2 * (codes[aim] - codes[own])),
        "by pixels": (x[rows] + pixels[aim] - pixels[own]).clamp(0, 1),
    }
    answers = {name: ask(pictures) for name, pictures in moved.items()}
    table = {name: {"arrives": share(found == aim), "stays": share(found == own)} for name, found in answers.items()}
    return {"change of class": table, "arithmetic": picture(model, z[rows], own, codes, names, kinds[:FEW])}


def picture(model: Any, z: Tensor, own: Tensor, codes: Tensor, names: list[str], kinds: Tensor) -> Any:
    """Draw what the mean codes stand for, and below them a sample of each class moved to every class by one step."""
    blank = torch.ones_like(drawn(model, codes[:1]))
    captions = ["sample", *(names[kind] for kind in kinds.tolist())]
    rows = [Row(torch.cat([blank, drawn(model, codes[kinds])]), label="mean code", captions=captions)]
    for kind in kinds.tolist():
        for row in (own == kind).nonzero().flatten()[:1].tolist():
            moved = torch.cat([z[row, None], z[row] - codes[kind] + codes[kinds]])
            rows.append(Row(drawn(model, moved), label=names[kind]))
    return sheet("code minus the mean of its class plus the mean of another", rows)


def drawn(model: Any, codes: Tensor) -> Tensor:
    """Return what codes (N, Z) stand for, on the CPU, pixels in [0, 1]."""
    return model.generate(codes).float().cpu().clamp(0, 1)


def share(right: Tensor) -> float:
    """Return the share of what is true."""
    return right.double().mean().item()
