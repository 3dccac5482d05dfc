"""Which token of a source each token of a target looks at: matrices with the tokens beside them.

T tokens of the target, S of the source, H heads.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from torch import Tensor

from dlcli.figures.canvas import INK, PALE, empty, plain

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLUMNS, HEADS = 2, 4  # matrices side by side: of one head each, and of the heads of one text


class Scale(NamedTuple):
    """How large a matrix is drawn."""

    cell: float  # inches of a token
    letter: float  # inches of a letter beside the matrix
    font: float  # points


LARGE, SMALL = Scale(0.19, 0.075, 8), Scale(0.12, 0.05, 5.5)  # the small one where there are several heads


class Alignment(NamedTuple):
    """Matrices of attention: row t says how target token t shares its attention among the source tokens."""

    weights: Tensor  # (H, T, S), rows sum to one
    source: Sequence[str]  # S tokens, across
    target: Sequence[str]  # T tokens, downwards


def alignments(title: str, shown: Sequence[Alignment]) -> "Figure":
    """Draw matrices of attention, every token beside its row or above its column; the heads of a text side by side.

    Those of one head stand two in a row; of several heads, four in a row, and a text begins a row of its own.
    """
    heads = max(len(one.weights) for one in shown)
    scale, columns = (SMALL, min(HEADS, heads)) if heads > 1 else (LARGE, min(COLUMNS, len(shown)))
    lines = -(-heads // columns)  # of each text, where there are several heads
    rows = len(shown) * lines if heads > 1 else -(-len(shown) // columns)
    wide = max(_room(scale, len(one.source), one.target) for one in shown)
    high = max(_room(scale, len(one.target), one.source) for one in shown)
    figure = empty(max(3.2, columns * wide), 0.4 + rows * high)
    figure.suptitle(title, fontsize=10)
    for place, one in enumerate(shown):
        for head, weights in enumerate(one.weights):
            cell = place * lines * columns + head if heads > 1 else place
            axes = figure.add_subplot(rows, columns, cell + 1)
            _draw(axes, weights, one, scale.font)
            if heads > 1:
                axes.set_xlabel(f"head {head + 1}", fontsize=scale.font + 1, color=INK)
    return figure


def _room(scale: Scale, cells: int, beside: Sequence[str]) -> float:
    """Return the inches that a matrix takes along a side, with the tokens before it."""
    return scale.cell * cells + scale.letter * max(len(token) for token in plain(beside, 16)) + 0.4


def _draw(axes: "Axes", weights: Tensor, one: Alignment, font: float) -> None:
    """Draw one matrix (T, S), white for no attention and dark for all of it."""
    axes.imshow(weights.detach().cpu().float().numpy(), cmap="Blues", vmin=0, vmax=1)
    turned: dict[str, Any] = {"rotation": 90} if max(map(len, one.source)) > 1 else {}
    axes.set_xticks(range(len(one.source)), plain(one.source, 16), fontsize=font, color=INK, **turned)
    axes.set_yticks(range(len(one.target)), plain(one.target, 16), fontsize=font, color=INK)
    axes.xaxis.tick_top()
    axes.tick_params(length=0)
    axes.spines[:].set_color(PALE)
