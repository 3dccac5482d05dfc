"""What a disk may hold after the power failed: the operations of some saves are recorded, and every outcome is built.

The model is the weakest that POSIX allows. A name (creation, rename, removal) lasts once its folder was synced; until
then each later change of names may have happened or not, in any combination. The bytes of a file last once the file was
synced; until then any of them may be missing, torn off, or not what was written.
"""

import itertools
import os
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple


class File:
    """A file as the disk sees it: what is synced, and what may still be lost."""

    stride = 1  # bytes between two places where it may be torn

    def __init__(self) -> None:
        self.synced = self.content = b""

    def outcomes(self) -> list[bytes]:
        """Return what may be in it after a crash."""
        if self.synced == self.content:
            return [self.synced]
        old, new = self.synced, self.content
        kept = len(old) if new.startswith(old) else 0
        torn = [new[:cut] for cut in (*range(kept, len(new), self.stride), len(new))]
        middle = (kept + len(new)) // 2
        zeros = new[:middle] + bytes(len(new) - middle)  # the length was written, the bytes were not
        return list(dict.fromkeys([old, *torn, zeros]))


class Change(NamedTuple):
    """A change of names that is not synced yet: what a name means from then on; None: nothing."""

    name: str
    file: File | None
    also: str | None = None  # the name that a rename takes away at the same time


class Disk:
    """Records what is done in one folder, and tells what a crash may leave of it."""

    def __init__(self, folder: Path):
        self.folder = str(folder)
        self.names: dict[str, File] = {}  # as the process sees them
        self.lasting: dict[str, File] = {}  # as they were when the folder was synced
        self.changes: list[Change] = []
        self.descriptors: dict[int, File | None] = {}  # None: the folder
        self.operations: list[str] = []

    def states(self) -> Iterator[dict[str, bytes]]:
        """Yield every content of the folder that a crash may leave now."""
        seen = set()
        for happened in itertools.product((False, True), repeat=len(self.changes)):
            names = dict(self.lasting)
            for change, real in zip(self.changes, happened, strict=True):
                if real:
                    self.apply(change, names)
            for contents in itertools.product(*(file.outcomes() for file in names.values())):
                state = dict(zip(names, contents, strict=True))
                key = tuple(sorted((name, hash(content)) for name, content in state.items()))
                if key not in seen:
                    seen.add(key)
                    yield state

    def change(self, change: Change) -> None:
        """Take note of a change of names."""
        self.changes.append(change)
        self.apply(change, self.names)

    @staticmethod
    def apply(change: Change, names: dict[str, File]) -> None:
        """Change names."""
        if change.also:
            names.pop(change.also, None)
        if change.file is None:
            names.pop(change.name, None)
        else:
            names[change.name] = change.file

    def inside(self, path: Any) -> str | None:
        """Return the name of a file of the folder; None for others."""
        head, name = os.path.split(os.fspath(path))
        return name if head == self.folder else None

    def stand_in(self) -> types.SimpleNamespace:
        """Return what stands in for `os`: it does the thing, and takes note."""

        def opened(path: Any, flags: int, *mode: int) -> int:
            descriptor = os.open(path, flags, *mode)
            name = self.inside(path)
            if os.fspath(path) == self.folder:
                self.descriptors[descriptor] = None
            elif name and flags & (os.O_WRONLY | os.O_RDWR):
                if name not in self.names:
                    self.change(Change(name, File()))
                if flags & os.O_TRUNC:
                    self.names[name].content = b""
                self.descriptors[descriptor] = self.names[name]
                self.operations.append(f"open {kind(name)}")
            return descriptor

        def write(descriptor: int, content: Any) -> int:
            count = os.write(descriptor, content)
            if file := self.descriptors.get(descriptor):
                file.content += bytes(content[:count])
                self.operations.append("write")
            return count

        def fsync(descriptor: int) -> None:
            os.fsync(descriptor)
            file = self.descriptors[descriptor]
            if file is None:
                self.lasting, self.changes = dict(self.names), []
                self.operations.append("sync folder")
            else:
                file.synced = file.content
                self.operations.append("sync file")

        def close(descriptor: int) -> None:
            os.close(descriptor)
            self.descriptors.pop(descriptor, None)

        def replace(old: Any, new: Any) -> None:
            os.replace(old, new)
            here, there = self.inside(old), self.inside(new)
            assert here
            assert there
            self.change(Change(there, self.names[here], here))
            self.operations.append(f"rename to {kind(there)}")

        own = {"open": opened, "write": write, "fsync": fsync, "close": close, "replace": replace}
        return types.SimpleNamespace(**vars(os) | own)

    def unlink(self, path: Path, missing_ok: bool = False) -> None:
        """Stand in for `Path.unlink`."""
        if os.path.lexists(path) or not missing_ok:
            os.unlink(path)
            name = self.inside(path)
            if name:
                self.change(Change(name, None))
                self.operations.append(f"remove {kind(name)}")


def kind(name: str) -> str:
    """Return what a file is for."""
    return "temporary" if ".tmp-" in name else "manifest" if "manifest" in name else "state"
