"""One folder, one writer: a lock that the system drops when its holder dies, with a note of who holds it.

Whoever gets the lock sweeps away what a holder that died left half written.
"""

import fcntl
import json
import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

from dlcli import disk, jsonfile
from dlcli.errors import RunError, StorageError


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """Hold the lock of a folder. Raises RunError if somebody else does, or a process of another machine may."""
    path = folder / "lock"
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o666)
    except OSError as error:
        raise StorageError(
            f"{path}: cannot be written ({error.strerror}); a run is continued where one may write"
        ) from None
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise RunError(f"{folder}: in use by {who(path)}; wait for it, or stop it first") from None
        holder = note(path)
        if holder and holder.get("host") != platform.node():  # this system cannot know whether it still runs
            raise RunError(f"{folder}: held by {who(path)}; if that is no longer so, remove {path}")
        take(folder, descriptor)
        try:
            yield
        finally:
            os.truncate(descriptor, 0)  # only a holder that died leaves its note
    finally:
        os.close(descriptor)


def take(folder: Path, descriptor: int) -> None:
    """Put a note into the lock, and tidy up. Raises StorageError."""
    mine = {"pid": os.getpid(), "host": platform.node(), "since": datetime.now().isoformat(" ", "seconds")}
    try:
        os.truncate(descriptor, 0)
        os.pwrite(descriptor, json.dumps(mine).encode(), 0)
        disk.sweep(folder)
    except OSError as error:
        raise StorageError(
            f"{folder}: cannot be written ({error.strerror}); make room there, then try again"
        ) from error


def note(path: Path) -> dict[str, Any]:
    """Return what the holder of a lock wrote about itself."""
    try:
        return jsonfile.read(path)
    except (OSError, ValueError):
        return {}


def who(path: Path) -> str:
    """Return process, machine and start of the holder of a lock."""
    holder = note(path)
    return f"process {holder.get('pid', '?')} on {holder.get('host', '?')} since {holder.get('since', '?')}"
