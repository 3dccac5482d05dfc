"""What each number of a code means: the mean code with one number varied, and the whole plane where there are two.

    decode(m + t s_j e_j),   t from -2 to 2;   m mean and s standard deviation of the training codes, (Z,)

For a linear decoder this is the mean picture plus a multiple of one picture, for PCA an eigen-picture (Turk & Pentland
1991). The lattice shows decode(z) for z over the central 96 % of either number.
"""

from typing import Any

import torch
from torch import Tensor

from dlcli.figures import Row, lattice, sheet
from dlcli.seeing.codes.reconstruction import squared
from dlcli.seeing.codes.scene import Codes

NUMBERS, TRIED = 8, 64  # numbers of a code that are drawn, of those that vary most
STEPS, REACH = 9, 2.0  # pictures in a row, and how many standard deviations its ends are from the mean
SIDE, CUT = 15, 0.02  # pictures along a side of the lattice, and the share of codes beyond each of its edges


def two(codes: Codes) -> str | None:
    """Ask for codes of two numbers."""
    count = codes.z.shape[1]
    return None if count == 2 else f"a code has {count} numbers, not two; the figures pca and tsne show it in the plane"


def strongest(codes: Codes) -> Tensor:
    """Return the places of the numbers that change the decoded picture most, the strongest first."""
    mean, spread = codes.known.mean(0), codes.known.std(0, correction=0)
    tried = spread.topk(min(TRIED, len(spread))).indices
    steps = torch.zeros(len(tried), len(mean)).scatter_(1, tried[:, None], spread[tried, None])
    effect = squared(codes.decode(mean + steps), codes.decode(mean - steps))
    return tried[effect.topk(min(NUMBERS, len(tried))).indices]


def draw(codes: Codes) -> dict[str, Any]:
    """Draw the mean code with one of its numbers varied in each row, the most telling ones first."""
    mean, spread = codes.known.mean(0), codes.known.std(0, correction=0)
    share = torch.linspace(-REACH, REACH, STEPS)
    rows = []
    for place in strongest(codes).tolist():
        varied = mean.repeat(STEPS, 1)
        varied[:, place] += share * spread[place]
        words = [f"{value:.2g}" for value in varied[:, place].tolist()]
        rows.append(Row(codes.decode(varied), label=f"number {place}", captions=words))
    return {"walk": sheet("one number of the mean code varied by two standard deviations", rows)}


def draw_plane(codes: Codes) -> dict[str, Any]:
    """Draw what codes of two numbers stand for, in a lattice over their plane."""
    low, high = (codes.known.quantile(share, 0) for share in (CUT, 1 - CUT))
    across, down = (torch.linspace(a, b, SIDE) for a, b in ((low[0], high[0]), (high[1], low[1])))
    points = torch.cartesian_prod(down, across).flip(1)  # in reading order
    edges = (low[0].item(), high[0].item(), low[1].item(), high[1].item())
    return {"plane": lattice("decoded over the plane of codes", codes.decode(points), edges)}
