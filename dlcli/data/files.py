"""Where a file lies, whether it is the file that it should be, and what was once unpacked."""

import hashlib
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from dlcli.disk import write
from dlcli.errors import DataError


def locate(path: str, root: Path, folder: bool = False, key: str = "path") -> Path:
    """Find the user's own file or folder, from the working directory or else from the data directory.

    Raises DataError where it is in neither, and names the key of the source to set.
    """
    places = [Path(path).expanduser(), root / path]
    for place in places:
        if place.is_dir() if folder else place.is_file():
            return place
    kind, value = ("folder", "DIR") if folder else ("file", "FILE")
    if other := next((place for place in places if place.exists()), None):
        is_a = "folder" if other.is_dir() else "file"
        raise DataError(f"{other}: a {is_a}, where a {kind} is needed; set data.source.{key}={value}")
    raise DataError(
        f"no such {kind}: {places[0].absolute()} (nor {places[1].absolute()}): "
        f"a {kind} must be named from the working directory or the data directory; set data.source.{key}={value}"
    )


def verified(path: Path, size: int, sha256: str) -> bytes:
    """Return the content of a file of known size and SHA-256; raise DataError for any other."""
    found = path.stat().st_size
    if found != size:
        raise DataError(f"{path} has {found} bytes, not {size}: it is damaged or another file; delete it")
    return genuine(path.read_bytes(), size, sha256, str(path))


def genuine(content: bytes, size: int, sha256: str, name: str) -> bytes:
    """Return content that has the known size and SHA-256; raise DataError for any other."""
    if len(content) != size:
        raise DataError(f"{name} has {len(content)} bytes, not {size}: it is damaged or another file; delete it")
    digest = hashlib.sha256(content).hexdigest()
    if digest != sha256:
        raise DataError(f"{name} has SHA-256 {digest}, not {sha256}: it is damaged or another file; delete it")
    return content


def unpacked(size: int, sha256: str, make: Callable[[], bytes]) -> bytes:
    """Return what `make` unpacks, from the cache if it was unpacked before; checked each time by its SHA-256.

    The cache, `$XDG_CACHE_HOME/dl/unpacked` or `~/.cache/dl/unpacked`, may be deleted at any time.
    """
    path = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "dl" / "unpacked" / sha256
    with suppress(OSError, DataError):
        return verified(path, size, sha256)
    content = make()
    with suppress(OSError):  # the cache saves time; without it everything works
        path.parent.mkdir(parents=True, exist_ok=True)
        write(path, content)
    return content
