"""What was odd about files, gathered while they are read, and told in a few lines."""

from collections import defaultdict
from pathlib import Path

from dlcli.text import printable

NAMED = 5  # files that a line names


class Notes:
    """Remember for each oddity which files below `base` have it."""

    def __init__(self, base: Path) -> None:
        self.base = base
        self.found: defaultdict[str, list[str]] = defaultdict(list)

    def add(self, what: str, path: str, reason: str = "") -> None:
        """Note an oddity of a file."""
        name = Path(path).relative_to(self.base)
        self.found[what].append(printable(f"{name} ({reason})" if reason else name))

    def lines(self, marked: str = "", below: Path | None = None) -> list[str]:
        """Return a line for each oddity whose name holds `marked`; of the files below one folder, if it is given."""
        start = "" if below in (None, self.base) else f"{printable(below.relative_to(self.base))}/"
        kept = {
            what: [name for name in names if name.startswith(start)]
            for what, names in self.found.items()
            if marked in what
        }
        return [
            f"{len(names)} {what}: {', '.join(names[:NAMED])}"
            + (f" and {len(names) - NAMED} more" if len(names) > NAMED else "")
            for what, names in kept.items()
            if names
        ]
