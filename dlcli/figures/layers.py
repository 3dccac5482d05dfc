"""One number, or a cloud of numbers, for each layer of a net."""

from collections.abc import Mapping
from math import ceil, floor, log10
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from dlcli.figures.canvas import ACCENT, INK, PALE, canvas, plain

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

NAMED = 30  # layers whose names find room
LONGEST = 28  # letters of a name
BINS = 61


def _size(count: int) -> int:
    """Return the size of letters that find room beside so many layers."""
    return 8 if count <= 15 else 6


def _names(axes: "Axes", names: list[str]) -> None:
    """Name the layers from top to bottom, by the end of their names; every second, third, ... where there are many."""
    step = -(-len(names) // NAMED)
    short = [name if len(name) <= LONGEST else f"…{name[1 - LONGEST :]}" for name in names]
    axes.set_yticks(range(0, len(names), step), plain(short, LONGEST)[::step], fontsize=_size(len(names)))
    axes.set_ylim(len(names) - 0.4, -0.6)


def bars(title: str, across: str, shares: Mapping[str, Mapping[str, float]]) -> "Figure":
    """Draw shares in [0, 1] of each layer side by side; `shares` holds them by what they are, then by layer."""
    figure, axes = canvas(title, across, "")
    thick = 0.8 / len(shares)
    for i, (what, values) in enumerate(shares.items()):
        places = [place - 0.4 + (i + 0.5) * thick for place in range(len(values))]
        axes.barh(places, list(values.values()), 0.9 * thick, color=PALE if i else ACCENT, label=what)
        for place, share in zip(places, values.values(), strict=True):
            axes.text(share + 0.01, place, f"{100 * share:.3g} %", va="center", fontsize=_size(len(values)), color=INK)
    axes.set_xlim(0, 1.1)
    axes.set_xticks([0, 0.25, 0.5, 0.75, 1])
    axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=len(shares), frameon=False, fontsize=9)
    axes.set_title(title, pad=28)
    _names(axes, list(next(iter(shares.values()))))
    return figure


def magnitudes(title: str, across: str, values: Mapping[str, float]) -> "Figure":
    """Draw a positive number for each layer over whole decades; what is zero has no point."""
    figure, axes = canvas(title, across, "")
    points = [(value, place) for place, value in enumerate(values.values()) if value > 0]
    axes.plot([x for x, _ in points], [y for _, y in points], "o-", color=ACCENT, lw=1, clip_on=False)
    if points:
        low, high = floor(log10(min(points)[0])), ceil(log10(max(points)[0]))
        axes.set_xscale("log")
        axes.set_xlim(10.0**low, 10.0 ** max(high, low + 1))
    axes.grid(axis="x", which="both", color=PALE, lw=0.4)
    _names(axes, list(values))
    return figure


def histograms(title: str, across: str, values: Mapping[str, Tensor]) -> "Figure":
    """Draw the histogram of each layer's numbers, one below the other over one axis, with their standard deviation."""
    figure, axes = canvas(title, across, "")
    flat = [numbers.detach().flatten().float().cpu() for numbers in values.values()]
    deviations = [numbers.std(correction=0).item() for numbers in flat]
    reach = min(max(numbers.abs().max().item() for numbers in flat), 4 * max(deviations)) or 1.0
    centres = (torch.arange(BINS) + 0.5) * 2 / BINS * reach - reach
    for place, (numbers, deviation) in enumerate(zip(flat, deviations, strict=True)):
        counts = torch.histc(numbers.clamp(-reach, reach), BINS, -reach, reach)
        top = place + 0.4 - 0.85 * counts / counts.max()
        axes.fill_between(centres, top, place + 0.4, color=ACCENT, alpha=0.7, lw=0, step="mid")
        axes.text(1.03 * reach, place, f"±{deviation:.2g}", va="center", fontsize=_size(len(values)), color=INK)
    axes.axvline(0, color=INK, lw=0.5, ls="--")
    axes.set_xlim(-reach, reach)
    _names(axes, list(values))
    return figure
