"""Pictures before and after an attack, and accuracy against the size of the change."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from torch import Tensor

from dlcli.figures.canvas import ACCENT, INK, canvas
from dlcli.figures.panels import Row, sheet

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FACTOR = 10  # by which the change is shown larger


def adversarial(
    title: str, clean: Tensor, found: Tensor, truth: Sequence[str], before: Sequence[str], after: Sequence[str]
) -> "Figure":
    """Draw originals, changes and adversarial pictures (N, C, H, W) with the classes that a net sees in them."""
    change = found - clean
    first = [b if b == t else f"{b}\n(is {t})" for b, t in zip(before, truth, strict=True)]
    rows = [
        Row(images=clean, label="original", captions=first),
        Row(images=(0.5 + FACTOR * change).clamp(0, 1), label=f"change x {FACTOR}\n(grey: none)"),
        Row(images=found, label="adversarial", captions=list(after)),
    ]
    return sheet(title, rows)


def robustness(title: str, across: str, sizes: Sequence[float], curves: dict[str, Sequence[float]]) -> "Figure":
    """Draw shares against sizes of the change."""
    figure, axes = canvas(title, across, "share of the examples")
    styles = ((ACCENT, "-"), (INK, "--"), (INK, ":"))
    for (name, values), (colour, style) in zip(curves.items(), styles, strict=False):
        axes.plot(sizes, values, color=colour, linestyle=style, marker="o", markersize=4, label=name)
    axes.set_ylim(-0.02, 1.02)
    axes.legend(frameon=False)
    return figure
