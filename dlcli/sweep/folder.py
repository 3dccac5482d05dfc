"""Where a sweep lies: a folder named for its command, so that the same command finds it again."""

import hashlib
import json
import re
from collections.abc import Sequence
from pathlib import Path

from dlcli.config import paths
from dlcli.errors import StorageError
from dlcli.sweep.axes import Axis

STEERING = re.compile(r"(sweep\.(jobs|time|again|trials)|dry_run|hydra[./].*)=")  # these do not make another sweep


def folder(outputs: Path, overrides: Sequence[str], all_axes: Sequence[Axis], again: bool) -> Path:
    """Return the folder of the sweep that these overrides mean, a fresh one if asked for. Raises StorageError."""
    kept = sorted(word for word in overrides if not STEERING.match(word))
    meant = json.dumps([kept, [str(path) for path in paths.directories()[:-1]]])
    base = outputs.absolute() / "sweeps" / f"{slug(all_axes)}-{hashlib.sha256(meant.encode()).hexdigest()[:8]}"
    number = 1
    while named(base, number + 1).exists():
        number += 1
    try:
        base.parent.mkdir(parents=True, exist_ok=True)
        while again and named(base, number).exists():
            number += 1
        named(base, number).mkdir(exist_ok=not again)
    except OSError as error:
        cure = "choose another place with paths.outputs=DIR"
        raise StorageError(f"{base}: cannot be made ({error.strerror}); {cure}") from error
    return named(base, number)


def named(base: Path, number: int) -> Path:
    """Return the folder of the n-th sweep by one command."""
    return base if number == 1 else base.with_name(f"{base.name}-{number}")


def slug(all_axes: Sequence[Axis]) -> str:
    """Return a few words for people: what is trained, and which keys vary; nothing but letters, digits, - and _."""
    fixed = {axis.key: axis.options[0].partition("=")[2] for axis in all_axes if len(axis.options) == 1}
    words = [fixed[key] for key in ("experiment", "model", "data") if key in fixed]
    words += sorted(axis.key.split(".")[-1] for axis in all_axes if len(axis.options) != 1)
    return "-".join(re.sub(r"\W+", "_", word, flags=re.ASCII) for word in words)[:60] or "sweep"
