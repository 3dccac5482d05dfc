"""One folder, one writer: a lock that the system drops when its holder dies, with a note of who holds it."""

import fcntl
import json
import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

from dlcli import jsonfile
from dlcli.errors import RunError


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """Hold the lock of a folder. Raises RunError if somebody else does, or a process of another machine may."""
    path = folder / "lock"
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o666)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise RunError(f"{folder}: in use by {who(path)}; wait for it, or stop it first") from None
        holder = note(path)
        if holder and holder.get("host") != platform.node():  # this system cannot know whether it still runs
            raise RunError(f"{folder}: held by {who(path)}; if that is no longer so, remove {path}")
        mine = {"pid": os.getpid(), "host": platform.node(), "since": datetime.now().isoformat(" ", "seconds")}
        os.truncate(descriptor, 0)
        os.pwrite(descriptor, json.dumps(mine).encode(), 0)
        try:
            yield
        finally:
            os.truncate(descriptor, 0)  # only a holder that died leaves its note
    finally:
        os.close(descriptor)


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
