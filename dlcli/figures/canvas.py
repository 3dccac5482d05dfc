"""Empty axes, names and colours: what every figure starts from.

matplotlib is imported only where something is drawn, and through its object interface: there is no global state.
"""

from collections.abc import Iterable
from functools import cache
from typing import TYPE_CHECKING, Any

from dlcli.text import printable

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST = 10  # curves, or classes with a colour of their own
INK, ACCENT, PALE = "#333333", "#1f77b4", "#cccccc"


@cache
def settle() -> None:
    """Have matplotlib forget the settings of a file `matplotlibrc`: it obeys one in the working directory.

    A stranger's could have each text set by LaTeX, a process of its own.
    """
    from matplotlib import rcdefaults

    rcdefaults()


def empty(width: float, height: float, layout: str | None = "constrained") -> "Figure":
    """Return an empty figure of so many inches."""
    from matplotlib.figure import Figure

    settle()
    return Figure(figsize=(width, height), layout=layout)  # type: ignore[arg-type]


def canvas(title: str, across: str, up: str) -> "tuple[Figure, Axes]":
    """Return an empty figure with its labelled axes."""
    figure = empty(6.4, 4.8)
    axes = figure.add_subplot(title=title, xlabel=across, ylabel=up)
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def plain(names: Iterable[Any], longest: int = 24) -> list[str]:
    """Return names that matplotlib takes literally and its fonts can draw, cut if they are very long."""
    short = [name if len(name) <= longest else f"{name[: longest - 1]}…" for name in map(printable, names)]
    return [name.replace("$", r"\$") for name in short]


def colours(count: int) -> list[Any]:
    """Return as many colours as can be told apart, or as many steps of a rainbow."""
    from matplotlib import colormaps

    if count <= MOST:
        return [colormaps["tab10"](i) for i in range(count)]
    return [colormaps["turbo"](i / (count - 1)) for i in range(count)]
