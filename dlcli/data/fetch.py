"""Fetch one file of known size and SHA-256 over HTTP: mirrors, resume, verify, move into place.

Bytes gather in `NAME.part`, which outlives a cut-off transfer and is continued by a Range request (RFC 9110,
section 14). `NAME` appears at once and only when size and digest are right.
"""

import fcntl
import http.client
import os
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from dlcli.data.files import verified
from dlcli.errors import DataError

ATTEMPTS = 8  # per mirror, each but the first only after bytes have come
CHUNK = 1 << 18  # bytes


def fetch(urls: Sequence[str], path: Path, *, size: int, sha256: str, timeout: float = 5.0) -> None:
    """Bring a file from the first mirror that has it; `timeout` is in seconds, for each silence of a mirror.

    Raises DataError, with one line for each mirror, where none has it or DL_OFFLINE=1 forbids to ask.
    """
    if os.environ.get("DL_OFFLINE") == "1":
        raise DataError("not fetched, as DL_OFFLINE=1 forbids")
    faults = []
    try:
        with _made(path.parent), _alone(path.parent):
            for url in urls:
                if path.exists():  # another process was faster
                    return
                if fault := _from_mirror(url, path, size, sha256, timeout):
                    faults.append(f"{url}: {fault}")
                else:
                    return
    except OSError as error:
        faults.append(f"{path.parent}: {error.strerror}")
    raise DataError("\n".join(faults))


@contextmanager
def offline() -> Iterator[None]:
    """Forbid to fetch for a while."""
    before = os.environ.get("DL_OFFLINE", "")
    os.environ["DL_OFFLINE"] = "1"
    try:
        yield
    finally:
        os.environ["DL_OFFLINE"] = before


def _from_mirror(url: str, path: Path, size: int, sha256: str, timeout: float) -> str:
    """Try one mirror as long as it makes progress; return what went wrong at last, nothing on success."""
    part = path.with_name(path.name + ".part")
    fault = ""
    for _ in range(ATTEMPTS):
        before = _length(part)
        try:
            _receive(url, part, before if before < size else 0, size, timeout)
        except (OSError, http.client.HTTPException, DataError) as error:
            fault = str(error) or type(error).__name__
        if _length(part) == size:
            try:
                verified(part, size, sha256)
                os.replace(part, path)
                return ""
            except DataError as error:
                fault = str(error)
                part.unlink()
                if before == 0:  # all of it came from here
                    return fault
        elif _length(part) <= before:
            return fault
    return fault


def _receive(url: str, part: Path, have: int, size: int, timeout: float) -> None:
    """Append what is missing; raise DataError for an answer that is not this file."""
    headers = {"User-Agent": "dl", "Accept-Encoding": "identity"}
    if have:
        headers["Range"] = f"bytes={have}-"
    request = urllib.request.Request(url, headers=headers)
    with urllib.request.urlopen(request, timeout=timeout) as response:
        resumed = response.status == 206
        if resumed and not response.headers.get("Content-Range", "").startswith(f"bytes {have}-"):
            raise DataError("the server resumed at another byte than it was asked to")
        start = have if resumed else 0
        offered = response.headers.get("Content-Length")
        if offered is not None and int(offered) != size - start:
            raise DataError(f"the server offers {offered} bytes where {size - start} belong (an error page?)")
        with part.open("r+b" if start else "wb") as file:
            file.seek(start)
            while (left := size - file.tell()) > 0 and (chunk := response.read(min(CHUNK, left))):
                file.write(chunk)
            if left:
                raise DataError(f"the transfer was cut off after {file.tell()} of {size} bytes")


def _length(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


@contextmanager
def _made(folder: Path) -> Iterator[None]:
    """Make a folder, and remove what was made if it stays empty."""
    new = [place for place in (folder, *folder.parents) if not place.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        yield
    finally:
        with suppress(OSError):  # of one that is not empty
            for place in new:
                place.rmdir()


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Hold a folder against other processes that fetch the same file."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)
