"""What the config files say about themselves: the first comment is the description, trailing comments are meanings.

Read as text, so that `dl ls`, `--help` and completion need neither Hydra nor torch.
"""

import re
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from dlcli.config import paths

KEY = re.compile(r"^(?P<indent> *)(?P<key>[A-Za-z_]\w*): ?(?P<value>[^#]*?)\s*(?:#\s*(?P<meaning>.*))?$")


class Entry(NamedTuple):
    """One key of a config file."""

    key: str  # dotted
    value: str  # as written; empty for a node
    meaning: str


def description(path: Path) -> str:
    """Return the first comment of a config file that is not Hydra's package line."""
    comments = (line.lstrip("# ") for line in paths.lines(path) if line.startswith("#"))
    return next((line for line in comments if line and not line.startswith("@package")), "")


@lru_cache
def entries(path: Path) -> tuple[Entry, ...]:
    """Return the keys of a config file with their default values and meanings."""
    found: list[Entry] = []
    parents: list[tuple[int, str]] = []
    for line in paths.lines(path):
        match = KEY.match(line)
        if not match:
            continue
        indent = len(match["indent"])
        while parents and parents[-1][0] >= indent:
            parents.pop()
        dotted = ".".join([*(name for _, name in parents), match["key"]])
        if dotted.split(".")[0] not in ("defaults", "hydra"):
            found.append(Entry(dotted, match["value"], match["meaning"] or ""))
        parents.append((indent, match["key"]))
    return tuple(found)


def own(group: str, option: str) -> tuple[Entry, ...]:
    """Return the keys that one option of a group brings, under their full names."""
    path = paths.options(group).get(option)
    if path is None:
        return ()
    whole = "@package _global_" in next(paths.lines(path), "")
    return tuple(entry if whole else entry._replace(key=f"{group}.{entry.key}") for entry in entries(path))


def meaning(key: str, verb: str, choices: dict[str, str]) -> str:
    """Return the one line that explains a key, given the chosen option of each group."""
    known = [*entries(paths.packaged() / f"{verb}.yaml")]
    for group, option in choices.items():
        known += own(group, option)
    return next((entry.meaning for entry in reversed(known) if entry.key == key and entry.meaning), "")
