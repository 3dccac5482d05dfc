"""Labelled curves over one pair of axes, and pictures laid over a plane.

N pictures, C channels, H height, W width.
"""

from collections.abc import Mapping
from math import isqrt
from typing import TYPE_CHECKING, Any

from torch import Tensor

from dlcli.figures.canvas import PALE, canvas, colours, plain
from dlcli.figures.grids import grid

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Line = tuple[Any, Any]  # places across and up


def curves(title: str, across: str, up: str, lines: Mapping[str, Line], dashed: Mapping[str, Line]) -> "Figure":
    """Draw curves by name, and pale dashed ones to compare them with."""
    figure, axes = canvas(title, across, up)
    for name, (x, y) in dashed.items():
        axes.plot(x, y, color=PALE, lw=1, ls="--", label=plain([name])[0])
    for (name, (x, y)), colour in zip(lines.items(), colours(len(lines)), strict=True):
        axes.plot(x, y, color=colour, lw=1.5, label=plain([name], 40)[0])
    axes.set_ylim(bottom=0)
    axes.legend(frameon=False, fontsize=9)
    return figure


def lattice(title: str, images: Tensor, edges: tuple[float, float, float, float]) -> "Figure":
    """Draw pictures (N, C, H, W), N a square number, as a square between edges (left, right, bottom, top)."""
    figure, axes = canvas(title, "first number", "second number")
    figure.set_size_inches(6.4, 6.4)
    axes.imshow(grid(images, isqrt(len(images)), 0).movedim(0, -1).numpy(), extent=edges, aspect="auto")
    return figure
