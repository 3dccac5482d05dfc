"""Text from files, made fit for a terminal and for a table of numbers."""

SIGNS = "=+-@\t\r"  # with these a spreadsheet takes a cell for a formula


def printable(text: object) -> str:
    r"""Return text on one line without terminal codes: whatever is not printable becomes an escape such as `\x1b`.

    Marks that reverse the direction of writing and half characters are among them.
    """
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in str(text))


def cell(text: object) -> str:
    """Return text as a CSV cell that no spreadsheet runs: a formula gets an apostrophe in front."""
    shown = printable(text)
    return f"'{shown}" if shown.startswith(tuple(SIGNS)) else shown
