"""What the units of a code stand for: how much each tells of its example, and what moving one does to a picture.

Z units, C channels, H height, W width. All values in nats per example.
"""

from typing import TYPE_CHECKING

from torch import Tensor

from dlcli.figures.canvas import ACCENT, PALE, canvas
from dlcli.figures.panels import Row, sheet

if TYPE_CHECKING:
    from matplotlib.figure import Figure

WALK = (-3.0, -2.0, -1.0, 0.0, 1.0, 2.0, 3.0)  # values of a unit, in standard deviations of the prior
ROWS = 10  # units of a walk


def telling(spent: Tensor) -> Tensor:
    """Return the indices of the units that tell most, the first ones first, of (Z,)."""
    return spent.argsort(descending=True)[:ROWS]


def units(spent: Tensor, active: Tensor) -> "Figure":
    """Draw the KL divergence of each unit (Z,), largest first; those that are not `active` (Z,) are pale."""
    from matplotlib.patches import Patch
    from matplotlib.ticker import MaxNLocator

    figure, axes = canvas("", "units, sorted", "KL divergence, nats")
    order = spent.argsort(descending=True)
    shades = [ACCENT if used else PALE for used in active[order].tolist()]
    axes.bar(range(1, len(spent) + 1), spent[order].tolist(), color=shades)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    legend = {ACCENT: f"active: {int(active.sum())}", PALE: f"collapsed to the prior: {int((~active).sum())}"}
    patches = [Patch(facecolor=shade, label=label) for shade, label in legend.items()]
    axes.legend(handles=patches, loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2, frameon=False, fontsize=9)
    axes.set_title("what each unit tells of its example", pad=28)
    return figure


def traversal(pictures: Tensor, spent: Tensor) -> "Figure":
    """Draw what became of a picture when one unit took the values of `WALK`, a row for each unit that tells most.

    pictures (units, steps, C, H, W), spent (Z,): the KL divergence of each unit.
    """
    captions = [f"{value:+.0f}" for value in WALK]
    rows = [
        Row(row, label=f"unit {unit}\n{spent[unit]:.2f} nats", captions=[] if i else captions)
        for i, (unit, row) in enumerate(zip(telling(spent).tolist(), pictures, strict=True))
    ]
    return sheet("one unit varied in each row, the others kept", rows)
