"""Samples in the plane over the modes that they should cover.

N samples, K modes.
"""

from typing import TYPE_CHECKING

from torch import Tensor

from dlcli.figures.canvas import ACCENT, INK, PALE, canvas

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def ring(title: str, points: Tensor, real: Tensor, centres: Tensor, reach: float) -> "Figure":
    """Draw samples (N, 2) over real points (M, 2), and a circle of radius `reach` about each centre (K, 2)."""
    from matplotlib.patches import Circle

    figure, axes = canvas(title, "first feature", "second feature")
    figure.set_size_inches(6.4, 6.4)
    axes.scatter(real[:, 0], real[:, 1], s=6, color=PALE, lw=0, label="real")
    axes.scatter(points[:, 0], points[:, 1], s=3, alpha=0.4, color=ACCENT, lw=0, label="samples")
    for x, y in centres.tolist():
        axes.add_patch(Circle((x, y), reach, fill=False, ec=INK, lw=0.8))
    edge = 1.35 * centres.abs().max().item()  # what lies further out is not worth the room that it takes
    outside = int((points.abs() > edge).any(1).sum())
    axes.set(xlim=(-edge, edge), ylim=(-edge, edge), aspect="equal")
    axes.set_title(f"{title}\n{outside} of {len(points)} samples lie outside" if outside else title)
    axes.legend(loc="upper right", frameon=False, fontsize=9, markerscale=3)
    return figure
