"""Text from files, made fit for a terminal and for a table of numbers."""

from collections.abc import Iterable

BAR = r"\|"  # as it stands in a cell of a table in Markdown
SIGNS = "=+-@\t\r"  # with these a spreadsheet takes a cell for a formula


def printable(text: object) -> str:
    r"""Return text on one line without terminal codes: whatever is not printable becomes an escape such as `\x1b`.

    Marks that reverse the direction of writing and half characters are among them.
    """
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in str(text))


def tabled(cells: Iterable[object]) -> str:
    """Return a line of a table in Markdown, whose cells may hold anything."""
    return f"| {' | '.join(printable(text).replace('|', BAR) for text in cells)} |"


def cell(text: object) -> str:
    """Return text as a CSV cell that no spreadsheet runs: a formula gets an apostrophe in front."""
    shown = printable(text)
    return f"'{shown}" if shown.startswith(tuple(SIGNS)) else shown
