"""Texts, each word on a ground whose colour is a number.

The width of a word is reckoned from its letters: a figure is laid out before it has a canvas that could measure them.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from torch import Tensor

from dlcli.figures.canvas import INK, empty, plain
from dlcli.figures.panels import SIGNED

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LETTER, HIGH = 0.082, 0.26  # inches: of a letter of a font of fixed width, and of a line
WIDE, CAPTION = 100, 22  # letters in a line, and in the caption before it


def lines(title: str, rows: Sequence[tuple[str, Sequence[str], Tensor]]) -> "Figure":
    """Draw rows of (caption, words, numbers in [-1, 1]): red for 1, blue for -1, white for 0."""
    from matplotlib.colors import LinearSegmentedColormap

    shades = LinearSegmentedColormap.from_list("shades", SIGNED)
    placed = [placed_words(plain(words, WIDE // 2)) for _, words, _ in rows]
    count = sum(places[-1][1] + 1 if places else 1 for places in placed)
    figure = empty((WIDE + CAPTION) * LETTER, (count + 2) * HIGH, None)
    axes = figure.add_axes((0, 0, 1, 1), xlim=(0, WIDE + CAPTION), ylim=(count + 2, 0))
    axes.axis("off")
    style: dict[str, Any] = {"family": "monospace", "fontsize": 9, "va": "center", "color": INK}
    axes.text(1, 1, title, fontsize=11, va="center", color=INK)
    top = 2
    for (caption, words, numbers), places in zip(rows, placed, strict=True):
        axes.text(1, top + 0.5, plain([caption], CAPTION - 2)[0], **style | {"fontsize": 8})
        for word, (left, line), number in zip(plain(words, WIDE // 2), places, numbers.tolist(), strict=True):
            ground = {"facecolor": shades((number + 1) / 2), "edgecolor": "none", "pad": 1.5}
            dark = {"color": "white"} if abs(number) > 0.55 else {}
            axes.text(CAPTION + left, top + line + 0.5, word, bbox=ground, **style | dark)
        top += places[-1][1] + 1 if places else 1
    return figure


def placed_words(words: Sequence[str]) -> list[tuple[int, int]]:
    """Return column and line of each word, as many in a line as there is room for."""
    places, column, line = [], 0, 0
    for word in words:
        if column and column + len(word) > WIDE:
            column, line = 0, line + 1
        places.append((column, line))
        column += len(word) + 1
    return places
