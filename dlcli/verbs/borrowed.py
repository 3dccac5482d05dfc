"""The tokens of another run beside what the command says of tokens: they are taken as they are, so both must agree.

What was written on the command line and contradicts them is refused. A default or a recipe that does is not what
somebody asked for, so a note tells it.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from dlcli.config.check import parse
from dlcli.data.wording import recorded
from dlcli.errors import ConfigError
from dlcli.run import find
from dlcli.text import printable
from dlcli.tokens import Vocabulary
from dlcli.verbs.common import VOCABULARIES, plain

SOURCE = "data.source."


def agreed(config: Any, overrides: Sequence[str]) -> list[str]:
    """Return a note for each vocabulary that is other than the config says. Raises ConfigError, DataError, RunError.

    Where only one side of pairs takes its tokens from a run, the values say how the other one is learned.
    """
    source = plain(config.data).get("source")
    if not isinstance(source, dict):
        return []
    if source.get("joint") and (other := source.get("source_vocabulary")):
        one = f"{SOURCE}joint=true gives both sides one vocabulary, which {SOURCE}vocabulary names"
        raise ConfigError(f"{SOURCE}source_vocabulary={printable(str(other))}: {one}; leave one of the two out")
    for fact in VOCABULARIES:
        if source.get(fact):
            config.data.source[fact] = source[fact] = located(str(source[fact]), config.paths)
    taken = {fact: str(source[fact]) for fact in VOCABULARIES if source.get(fact)}
    half = len(taken) == 1 and "source_vocabulary" in source and not source.get("joint")
    given = {parse(word).key_or_group for word in overrides}
    notes = []
    for fact, name in taken.items():
        its = {} if name.startswith("{") else contradicted(source, fact, Path(config.paths.data).expanduser())
        if wrong := [] if half else [key for key in its if SOURCE + key in given]:
            asked = ", ".join(f"{SOURCE}{key}={spelled(source[key])}" for key in wrong)
            it = "it" if len(wrong) == 1 else "them"
            has = f"{SOURCE}{fact}={printable(name)} has {pairs({key: its[key] for key in wrong})}"
            raise ConfigError(f"{asked}: {has}, and is taken as it is; leave {it} out, or {SOURCE}{fact}")
        if its:
            here = pairs({key: source[key] for key in its})
            notes.append(f"note: {SOURCE}{fact}={printable(name)} has {pairs(its)}, not {here}, and is taken as it is")
    return notes


def located(name: str, places: Any) -> str:
    """Return the folder of the run that is meant, as `init_from` understands it. Raises RunError."""
    there = (Path(name).expanduser(), Path(places.data).expanduser() / name)
    if name.startswith("{") or any(place.is_dir() for place in there):  # a saved one, or a folder
        return name
    return str(find(Path(places.outputs), name))


def contradicted(source: dict[str, Any], fact: str, root: Path) -> dict[str, Any]:
    """Return what a run's tokens are that a source says otherwise; null says nothing."""
    data = recorded(str(source[fact]), root, fact)
    known, own = Vocabulary.read(data[fact]), data.get("source")
    learned = own if isinstance(own, dict) and not own.get(fact) else {}  # else its values say nothing of its tokens
    its = {"level": known.level, "lower": known.lower, "size": learned.get("size") or len(known)}
    its |= {"least": learned["least"]} if "least" in learned else {}
    asked, count = source.get("size"), len(known)
    if asked == count or (asked and asked > count and not learned.get("size")):
        del its["size"]  # `size` is the most that there may be, and the run took all that it found
    return {key: value for key, value in its.items() if source.get(key) is not None and source[key] != value}


def pairs(values: dict[str, Any]) -> str:
    """Return values as they are written on a command line."""
    return ", ".join(f"{key}={spelled(value)}" for key, value in values.items())


def spelled(value: Any) -> str:
    """Return a value as YAML has it."""
    return str(value).lower() if isinstance(value, bool) else printable(value)
