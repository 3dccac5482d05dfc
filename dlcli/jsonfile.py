"""JSON files that a stranger may have written, read within limits.

NaN and Infinity are read, since a score may be one; whoever uses a number checks its range.
"""

import errno
import json
import os
import stat
from pathlib import Path
from typing import Any, BinaryIO

LIMIT = 4 * 2**20  # bytes; parsed they take less than 256 MiB, whatever they hold
NESTING = 64  # levels
DIGITS = 40  # of a whole number; larger ones cost quadratic time to read


def regular(path: Path) -> BinaryIO:
    """Open a file for reading, never through a link, and never a device or pipe that blocks; raises ValueError."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise ValueError("a symbolic link, which may lead out of its folder") from error
        if error.errno == errno.ENXIO:
            raise ValueError("not a regular file") from error
        raise
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise ValueError("not a regular file")
    return os.fdopen(descriptor, "rb")


def read(path: Path, limit: int = LIMIT) -> dict[str, Any]:
    """Return the object in a file of at most `limit` bytes; raises ValueError with the reason, or OSError."""
    with regular(path) as file:
        content = file.read(limit + 1)
    if len(content) > limit:
        raise ValueError(f"more than {limit:,} bytes")
    return parse(content)


def parse(content: bytes) -> dict[str, Any]:
    """Return the object that JSON text in UTF-8 states; raises ValueError with the reason."""
    try:
        found = json.loads(content.decode("utf-8"), object_pairs_hook=_once, parse_int=_short)
    except RecursionError as error:
        raise ValueError(f"more than {NESTING} levels") from error
    if not isinstance(found, dict):
        raise ValueError("not an object")
    _plain(found)
    return found


def encode(content: dict[str, Any]) -> bytes:
    """Return JSON text in UTF-8; what JSON does not know is written as text."""
    return json.dumps(content, indent=1, default=str, ensure_ascii=False).encode("utf-8", "replace")


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a key that stands twice in one object")
    return found


def _short(digits: str) -> int:
    if len(digits) > DIGITS:
        raise ValueError(f"a number of {len(digits)} digits")
    return int(digits)


def _plain(found: Any) -> None:
    """Raise ValueError for deep nesting, and for half characters, which no terminal or file name can hold."""
    level = [found]
    for _ in range(NESTING):
        for value in level:
            if isinstance(value, str):
                value.encode()
        level = [
            child
            for value in level
            if isinstance(value, (dict, list))
            for child in ([*value, *value.values()] if isinstance(value, dict) else value)
        ]
        if not level:
            return
    raise ValueError(f"more than {NESTING} levels")
