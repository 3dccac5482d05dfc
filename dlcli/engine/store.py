"""The checkpoints of a run: what is kept, in which order it was written, and which of it still holds.

checkpoints/
    manifest.jsonl              a line for each file, the newest last
    step-<step>.safetensors     the whole state, best weights included; the last `keep` of them stay

A line is written once its file is durable, and files are removed once the line is, so that after a crash at any
moment the newest line whose file agrees with its own SHA-256 is the newest state. Names and times decide nothing. Only
files of the manifest are ever removed.
"""

import json
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from dlcli import disk
from dlcli.engine import checkpoint
from dlcli.engine.checkpoint import Tensors
from dlcli.errors import CheckpointError, StorageError

NAME = re.compile(r"step-(\d{1,18})\.safetensors")
LINES = 1000  # a longer manifest is written anew, with what is kept


class Store:
    """The folder of a run's checkpoints. `say` hears what was damaged, and what cannot be removed."""

    def __init__(self, folder: Path, keep: int = 2, say: Callable[[str], Any] = print):
        self.folder, self.keep, self.say = folder, keep, say
        self.manifest = folder / "manifest.jsonl"

    def save(self, step: int, tensors: Tensors, plain: dict[str, Any]) -> None:
        """Put a state in place, then its line into the manifest. Raises StorageError; what was kept then still is."""
        name = f"step-{step}.safetensors"
        try:
            content = checkpoint.encode(tensors, plain)
            if not self.manifest.exists():
                self.require_room(len(content))
            disk.write(self.folder / name, content)
            disk.append(self.manifest, json.dumps({"file": name}))
            self.prune()
        except OSError as error:
            raise StorageError(
                f"{self.folder}: cannot be written ({error.strerror or error}); the former checkpoint still stands. "
                "Make room, then go on with `dl train resume`"
            ) from error

    def require_room(self, first: int) -> None:
        """Raise StorageError if the disk cannot hold what will be kept, and one more while it is written.

        A later state is about twice as large as the first, or more: by then it has the best weights, too.
        """
        needed, free = 2 * first * (self.keep + 1), disk.free(self.folder)
        if free < needed:
            raise StorageError(
                f"{self.folder}: some {needed:,} bytes needed for {self.keep} checkpoints, {free:,} free; "
                "make room, or choose another place with paths.outputs=DIR"
            )

    def prune(self) -> None:
        """Remove the states that are too old; what cannot be removed is tried again next time."""
        listed = self.listed()
        there = [name for name in listed if (self.folder / name).exists()]  # what is gone counts for nothing
        for name in there[: -self.keep]:
            try:
                (self.folder / name).unlink(missing_ok=True)
            except OSError as error:
                self.say(f"warning: {name}: too old, but cannot be removed ({error.strerror})")
        if len(listed) > LINES:
            self.rewrite(there)

    def rewrite(self, names: Iterable[str]) -> None:
        """Write the manifest anew, with those of the files that are there."""
        lines = [json.dumps({"file": name}) for name in names if (self.folder / name).exists()]
        disk.write(self.manifest, "\n".join(lines).encode())

    def listed(self) -> list[str]:
        """Return the files of the manifest, the newest last, each once. Raises OSError."""
        lines = disk.read(self.manifest).decode(errors="replace").splitlines()
        latest = dict.fromkeys(filter(None, map(parse, reversed(lines))))  # a file counts by its last line
        return [*latest][::-1]

    def names(self, repair: bool = False) -> list[str]:
        """Return the files of the manifest; for want of one, those that are there by their steps."""
        try:
            names = self.listed()
        except FileNotFoundError:
            names = []
        except OSError as error:
            self.say(
                f"warning: {self.manifest}: cannot be read ({error.strerror}); the highest step counts as the newest"
            )
            return self.found()
        if not names and (found := self.found()) and repair:
            self.rewrite(found)
        return names or found

    def found(self) -> list[str]:
        """Return the checkpoints in the folder by their steps."""
        steps = [int(match[1]) for path in self.folder.glob("*") if (match := NAME.fullmatch(path.name))]
        return [f"step-{step}.safetensors" for step in sorted(steps)]

    def newest(self, repair: bool = False) -> tuple[Tensors, dict[str, Any]]:
        """Return the newest state that holds. Raises CheckpointError if there is none.

        `repair` sets damaged files aside as `*.corrupt`; it is for the one who holds the lock of the run. What cannot
        be read stays: it may be whole.
        """
        names = self.names(repair)
        for name in reversed(names):
            path = self.folder / name
            try:
                return checkpoint.read(path)
            except FileNotFoundError:
                continue  # pruned
            except (CheckpointError, OSError) as error:
                self.say(f"warning: {error}; an older one serves if there is one")
                if repair and isinstance(error, CheckpointError):
                    path.replace(path.with_name(f"{name}.corrupt"))
        if names != self.names():
            return self.newest(repair)  # meanwhile a training has gone on, and removed what was new
        fault = "no checkpoint holds" if names else "no checkpoint; the run stopped before its first one"
        raise CheckpointError(f"{self.folder}: {fault}; start the run anew")


def parse(line: str) -> str | None:
    """Return the file that a line names; None if the line is torn or names anything but a checkpoint of this folder."""
    try:
        name = json.loads(line)["file"]
        return name if NAME.fullmatch(name) else None
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
