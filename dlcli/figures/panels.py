"""Sheets of small pictures in labelled rows, some of them numbers shown as colours.

N pictures side by side, C channels, H height, W width.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from torch import Tensor

from dlcli.figures.canvas import INK, canvas, plain
from dlcli.figures.grids import coloured

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WIDEST = 10  # pictures in a row
INCHES, GAP, LINE = 0.8, 0.08, 0.17  # width of a picture; gap and line of a caption as shares of it
RISING, SIGNED = ["black", "#721f81", "#f1605d", "#fcfdbf"], ["#053061", "#4393c3", "white", "#d6604d", "#67001f"]
OVER, SIGNED_OVER = ["white", "red"], ["blue", "white", "red"]  # vivid: they tint a picture
FAINTEST = 0.4  # of the greys of a picture under colours


class Row(NamedTuple):
    """Pictures side by side, numbers in their place, or numbers over pictures."""

    images: Tensor | None = None  # (N, C, H, W) in [0, 1]
    heat: Tensor | None = None  # (N, H, W) in [0, 1], or in [-1, 1] where `signed`
    label: str = ""
    captions: Sequence[str] = ()
    signed: bool = False

    @property
    def low(self) -> int:
        """The smallest number that has a colour; the largest is 1."""
        return -1 if self.signed else 0

    @property
    def shades(self) -> Any:
        """The colours of the numbers from `low` to 1."""
        from matplotlib.colors import LinearSegmentedColormap

        plain, over = (SIGNED, SIGNED_OVER) if self.signed else (RISING, OVER)
        return LinearSegmentedColormap.from_list("shades", plain if self.images is None else over)

    @property
    def shape(self) -> tuple[int, float]:
        """The number of pictures, and their height as a share of their width."""
        shown = self.heat if self.images is None else self.images
        assert shown is not None
        return len(shown), shown.shape[-2] / shown.shape[-1]


def sheet(title: str, rows: Sequence[Row], bar: str = "") -> "Figure":
    """Draw rows of pictures; `bar` says what the colours mean."""
    figure, axes = canvas(title, "", "")
    shapes = [row.shape for row in rows]
    columns, top, ticks = max(count for count, _ in shapes), 0.0, []
    for row, (_, height) in zip(rows, shapes, strict=True):
        top += LINE * max([caption.count("\n") + 1.6 for caption in row.captions], default=0)
        _draw(axes, row, top, height)
        ticks.append(top + height / 2)
        top += height + GAP
    axes.set_xlim(-GAP, columns * (1 + GAP))
    axes.set_ylim(top, -GAP)
    axes.set(aspect="equal", xticks=[])
    labels = [_lines(row.label, 24) for row in rows]
    axes.set_yticks(ticks, labels, fontsize=9)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    beside = 0.6 + 0.09 * max(len(line) for label in labels for line in label.split("\n")) + (0.7 if bar else 0)
    figure.set_size_inches(max(6.4, INCHES * columns * (1 + GAP) + beside), max(1.8, INCHES * top + 0.6))
    if bar:
        _colour_bar(figure, axes, rows[-1], bar)
    return figure


def _lines(text: str, longest: int) -> str:
    """Return a text of one or more lines that matplotlib takes literally, each cut if it is very long."""
    return "\n".join(plain(text.split("\n"), longest))


def _draw(axes: "Axes", row: Row, top: float, height: float) -> None:
    """Draw one row, its pictures one wide, from `top` downwards."""
    for i in range(row.shape[0]):
        left = i * (1 + GAP)
        axes.imshow(_picture(row, i), extent=(left, left + 1, top + height, top))
    for i, caption in enumerate(row.captions):
        axes.text(
            i * (1 + GAP) + 0.5, top - GAP / 2, _lines(caption, 15), ha="center", va="bottom", fontsize=8, color=INK
        )


def _picture(row: Row, i: int) -> Any:
    """Return one picture of a row as (H, W, 3); numbers over a picture tint a grey and paler one."""
    under = None if row.images is None else coloured(row.images[i : i + 1])[0].movedim(0, -1).numpy()  # (H, W, 3)
    if row.heat is None:
        return under
    heat = row.heat[i].detach().cpu().float().numpy()
    tint = row.shades((heat - row.low) / (1 - row.low))[..., :3]
    return tint if under is None else tint * (FAINTEST + (1 - FAINTEST) * under.mean(-1, keepdims=True))


def _colour_bar(figure: "Figure", axes: "Axes", row: Row, label: str) -> None:
    """Draw the scale of the colours of a row beside the pictures."""
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize

    scale = ScalarMappable(Normalize(row.low, 1), row.shades)
    bar = figure.colorbar(scale, ax=axes, fraction=0.03, pad=0.02, aspect=12)
    bar.set_ticks([-1, 0, 1] if row.signed else [0, 0.5, 1])
    bar.set_label(label, fontsize=8)
    bar.ax.tick_params(labelsize=8)
    bar.outline.set_visible(False)  # type: ignore[operator]


def tiles(title: str, shown: Tensor, captions: Sequence[str] = (), bar: str = "", signed: bool = False) -> "Figure":
    """Draw pictures (N, C, H, W), or numbers (N, H, W), in reading order, ten in a row."""
    rows = []
    for first in range(0, len(shown), WIDEST):
        part = shown[first : first + WIDEST]
        words = captions[first : first + WIDEST]
        numbers = shown.ndim == 3
        rows.append(Row(None if numbers else part, part if numbers else None, "", words, signed))
    return sheet(title, rows, bar)
