"""Which token of a source each token of a target looks at: matrices with the tokens beside them.

T tokens of the target, S of the source.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from torch import Tensor

from dlcli.figures.canvas import INK, PALE, plain

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

CELL, LETTER, COLUMNS = 0.19, 0.075, 2  # inches of a token and of a letter; matrices side by side


class Alignment(NamedTuple):
    """A matrix of attention: row t says how target token t shares its attention among the source tokens."""

    weights: Tensor  # (T, S), rows sum to one
    source: Sequence[str]  # S tokens, across
    target: Sequence[str]  # T tokens, downwards


def alignments(title: str, shown: Sequence[Alignment]) -> "Figure":
    """Draw matrices of attention, two in a row, every token beside its row or above its column."""
    from matplotlib.figure import Figure

    rows = -(-len(shown) // COLUMNS)
    wide = max(_room(len(one.source), one.target) for one in shown)
    high = max(_room(len(one.target), one.source) for one in shown)
    columns = min(COLUMNS, len(shown))
    figure = Figure(figsize=(max(3.2, columns * wide), 0.4 + rows * high), layout="constrained")
    figure.suptitle(title, fontsize=10)
    for place, one in enumerate(shown):
        _draw(figure.add_subplot(rows, columns, place + 1), one)
    return figure


def _room(cells: int, beside: Sequence[str]) -> float:
    """Return the inches that a matrix takes along a side, with the tokens before it."""
    return CELL * cells + LETTER * max(len(token) for token in plain(beside, 16)) + 0.4


def _draw(axes: "Axes", one: Alignment) -> None:
    """Draw one matrix, white for no attention and dark for all of it."""
    axes.imshow(one.weights.detach().cpu().float().numpy(), cmap="Blues", vmin=0, vmax=1)
    turned: dict[str, Any] = {"rotation": 90} if max(map(len, one.source)) > 1 else {}
    axes.set_xticks(range(len(one.source)), plain(one.source, 16), fontsize=8, color=INK, **turned)
    axes.set_yticks(range(len(one.target)), plain(one.target, 16), fontsize=8, color=INK)
    axes.xaxis.tick_top()
    axes.tick_params(length=0)
    axes.spines[:].set_color(PALE)
