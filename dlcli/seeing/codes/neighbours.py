"""Who is near whom: neighbours by codes and by pixels, and how often they are of the same class.

    purity at k = mean share of the k nearest others that are of the class of an example
    Euclidean distance |z - z'|;   cosine: the angle between z and z', whatever their lengths

N examples of the split, each among all others.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from dlcli.figures import Row, sheet
from dlcli.seeing.codes.scene import Codes, pictures

QUERIES, SHOWN = 4, 9
DEPTHS = (1, 5, 10)


def spaces(codes: Codes) -> dict[str, Tensor]:
    """Return points whose Euclidean distances tell who is near, by the name of the measure."""
    return {
        "pixels" if codes.x.ndim == 4 else "inputs": codes.x.flatten(1),
        "codes": codes.z,
        "codes, angle": F.normalize(codes.z),  # |z - z'|^2 = 2 - 2 cos
    }


def order(points: Tensor, count: int) -> Tensor:
    """Return the `count` nearest others of each point, the nearest first: (N, D) -> (N, count)."""
    away = torch.cdist(points, points).fill_diagonal_(torch.inf)
    return away.topk(min(count, len(points) - 1), largest=False).indices


def purity(near: Tensor, y: Tensor) -> dict[str, float]:
    """Return the share of the nearest others that are of the same class, at several depths; near (N, k), y (N,)."""
    same = (y[near] == y[:, None]).double()
    return {f"nearest {k}": same[:, :k].mean().item() for k in DEPTHS}


def draw(codes: Codes) -> dict[str, Any]:
    """Draw the nearest others of a few examples, and tell how pure the neighbourhoods are."""
    near = {name: order(points, max(DEPTHS)) for name, points in spaces(codes).items()}
    table = {name: purity(rows, codes.y) for name, rows in near.items()}
    if pictures(codes) is not None:
        return {"neighbours of the same class": table}
    rows = []
    for query in range(min(QUERIES, len(codes.x))):
        for name, found in near.items():
            shown = torch.cat([torch.tensor([query]), found[query, :SHOWN]])
            words = [codes.names[kind] for kind in codes.y[shown].tolist()]
            rows.append(Row(codes.x[shown], label=name, captions=words))
    figure = sheet("a picture and the nearest others", rows)
    return {"neighbours": figure, "neighbours of the same class": table}
