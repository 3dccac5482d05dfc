"""Calculating with codes: take the mean of one class away, add that of another.

    z' = embed(a) - mean code of the class of a + mean code of class B        (Radford et al. 2016, arXiv:1511.06434)

If directions in the code mean something, decode(z') is an example of class B that kept what was special about a. The
measure is how often its nearest training example is one of class B, and how far off that is; beside it the same sum
in pixels, and the decoded code itself as far as it belongs to its own class.
"""

from typing import Any

import torch
from torch import Tensor

from dlcli.figures import Row, sheet
from dlcli.seeing.codes.scene import FEW, Codes, means

COUNTED = 500  # examples that are moved to one other class each


def draw(codes: Codes) -> dict[str, Any]:
    """Draw one example of each class moved to every class, and tell how often that arrives."""
    kinds = codes.train.y.unique().cpu()[:FEW]  # a class that was left out of the training has no mean
    centres = means(codes.known, codes.train.y.cpu(), len(codes.names))
    firsts = [row for kind in kinds.tolist() for row in (codes.y == kind).nonzero().flatten()[:1].tolist()]
    rows = []
    for row in firsts:
        moved = codes.decode(codes.z[row] - centres[codes.y[row]] + centres[kinds])
        words = ["example", *(codes.names[kind] for kind in kinds.tolist())] if row == firsts[0] else []
        rows.append(Row(torch.cat([codes.x[row, None], moved]), label=codes.names[int(codes.y[row])], captions=words))
    title = "code minus the mean of its class plus the mean of another"
    return {"arithmetic": sheet(title, rows), "change of class": arrivals(codes, centres)}


def arrivals(codes: Codes, centres: Tensor) -> dict[str, dict[str, float]]:
    """Return how often the nearest training example is of the wanted class, and its distance."""
    kinds = codes.train.y.unique().cpu()
    rows = torch.isin(codes.y, kinds).nonzero().flatten()[:COUNTED]
    own = codes.y[rows]
    aim = aims(own, kinds)
    averages = means(codes.train.x.cpu().flatten(1), codes.train.y.cpu(), len(codes.names))
    flat = codes.x[rows].flatten(1)
    found = {
        "unchanged": (codes.decode(codes.z[rows]), own),
        "by codes": (codes.decode(codes.z[rows] - centres[own] + centres[aim]), aim),
        "by pixels": ((flat - averages[own] + averages[aim]).clamp(0, 1), aim),
    }
    return {name: _arrived(codes, x, wanted) for name, (x, wanted) in found.items()}


def aims(own: Tensor, kinds: Tensor) -> Tensor:
    """Return for each class (N,) another one of `kinds`, which are sorted; the class itself where there is but one."""
    place = torch.searchsorted(kinds, own)
    return kinds[(place + torch.randint(1, len(kinds), place.shape)) % len(kinds)] if len(kinds) > 1 else own


def _arrived(codes: Codes, x: Tensor, wanted: Tensor) -> dict[str, float]:
    away, kind = codes.nearest(x)
    return {"arrives": (kind == wanted).double().mean().item(), "distance": away.mean().item()}
