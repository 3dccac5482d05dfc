"""The few things that are done to files which must not be lost, each durable before the next begins.

A file appears whole under its name or not at all: written beside it, synced, read back, renamed, the folder synced.
What a crash may leave behind is a temporary file, which the next start sweeps away.
"""

import math
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, TextIO

TEMPORARY = ".tmp-"  # followed by the process that writes


def write(path: Path, content: bytes) -> None:
    """Put a file in place in one piece. Raises OSError; a former file of that name then still stands."""
    temporary = path.with_name(f"{path.name}{TEMPORARY}{os.getpid()}")
    temporary.unlink(missing_ok=True)  # what an earlier process of this number left, or a link that somebody put there
    try:
        put(temporary, content, os.O_CREAT | os.O_EXCL)
        if read(temporary) != content:
            raise OSError(None, "what was read back is not what was written", str(temporary))
        os.replace(temporary, path)
        sync(path.parent)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def append(path: Path, line: str) -> None:
    """Add a line to a file, for good. What a crash has torn before it ends in a line of its own."""
    put(path, f"\n{line}\n".encode(), os.O_CREAT | os.O_APPEND)
    sync(path.parent)


def put(path: Path, content: bytes, flags: int) -> None:
    """Write bytes to a file and sync it; a pipe in its place is an OSError, not a wait for a reader."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK | flags, 0o666)
    try:
        rest = memoryview(content)
        while rest:
            rest = rest[os.write(descriptor, rest) :]
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def ending(path: Path) -> TextIO:
    """Open a text file to add rows to it, made if need be; what a crash has torn ends in a line of its own.

    A link, pipe or device is an OSError.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW, 0o666)
    if not os.path.isfile(descriptor):
        os.close(descriptor)
        raise OSError(None, "not a regular file", str(path))
    file, size = os.fdopen(descriptor, "a", newline="", encoding="utf-8"), os.fstat(descriptor).st_size
    if size and os.pread(descriptor, 1, size - 1) != b"\n":
        file.write("\n")
    return file


def sync(folder: Path) -> None:
    """Make what happened to the names in a folder last."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def opened(path: Path) -> Iterator[BinaryIO]:
    """Open a regular file for reading; a link, pipe or device is an OSError."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    with os.fdopen(descriptor, "rb") as file:
        if not os.path.isfile(descriptor):
            raise OSError(None, "not a regular file", str(path))
        yield file


def read(path: Path) -> bytes:
    """Return the bytes of a regular file; a link, pipe or device is an OSError."""
    with opened(path) as file:
        try:
            return file.read()
        except MemoryError:
            raise OSError(None, "larger than the memory", str(path)) from None


def free(folder: Path) -> float:
    """Return the bytes that may still be written below a folder; infinity where the system does not say."""
    usage = shutil.disk_usage(folder)
    return usage.free if usage.total else math.inf


def sweep(folder: Path) -> None:
    """Remove what processes that died left half written, here and below; the caller holds the lock of the folder."""
    for path in folder.rglob(f"*{TEMPORARY}[0-9]*"):
        path.unlink(missing_ok=True)
