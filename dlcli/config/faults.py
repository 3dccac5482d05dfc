"""What to say of a command line that Hydra cannot read, in words that help; none of Hydra's own advice."""

import re
import sys
from collections.abc import Iterable, Iterator
from importlib.util import find_spec

from dlcli.config import paths

ELSEWHERE = {  # groups that training has not
    "attack": "`dl attack` has it: dl attack",
    "sampler": "`dl sample` and `dl eval` have it: dl sample",
}


def unreadable(override: str) -> str:
    """Say what helps where a word is outside Hydra's grammar."""
    override = override.removeprefix("++")  # ours, not the user's
    key, _, value = override.partition("=")
    cure = f"put the value in quotes: '{key}=\"{value}\"'"
    for begin, end in ("{}", "[]", "()"):
        if value.count(begin) != value.count(end):
            return f"{override}: cannot be read; {begin} and {end} do not match; or, if it is a text, {cure}"
    return f"{override}: cannot be read; {cure}"


def several(verb: str, override: str) -> str:
    """Say what helps where a value with commas was read as a list of values to try."""
    key, _, value = override.partition("=")
    if verb in ("train", "attack") and " " not in value:
        return f"{override}: several values need -m (a sweep)"
    return f"{override}: several values, where one is needed; if it is one, put it in quotes: '{key}=\"{value}\"'"


def absent(plugins: Iterable[str]) -> Iterator[str]:
    """Yield a fault for each package of the user's own that cannot be imported; none is."""
    for name in plugins:
        root = str(name).partition(".")[0]
        if root not in sys.modules and not (root.isidentifier() and find_spec(root)):
            yield f"plugins=[{name}]: no such package is installed; it is a name to import, as in pip install -e DIR"


def choosing(group: str) -> list[str]:
    """Return the models whose files choose an option of a group that others do without."""
    return [
        name
        for name, path in paths.options("model").items()
        if any(line.startswith(f"  - /{group}:") for line in paths.lines(path))
    ]


def readable(error: Exception) -> str:
    """Return the first lines of a Hydra error without its advice to add keys."""
    if match := re.match(r"Could not override '(\w+)'", str(error)):
        group, having = match[1], choosing(match[1])
        if group in ELSEWHERE:
            return f"{group}: only {ELSEWHERE[group]} [RUN] {group}=NAME"
        if not having:
            return f"{group}: a run keeps the {group} that it was trained with; only `dl train` chooses"
        return f"{group}: this model has no {group} to choose; models that have: {', '.join(having)}"
    kept = [
        line
        for line in (str(error) or str(error.__cause__)).splitlines()
        if line.strip() and "+" not in line and "full_key" not in line
    ]
    return "; ".join(line.strip() for line in kept[:3])
