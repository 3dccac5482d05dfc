"""Where a file lies, and whether it is the file that it should be."""

import hashlib
from pathlib import Path

from dlcli.errors import DataError


def locate(path: str, root: Path) -> Path:
    """Find the user's own file, from the working directory or else from the data directory.

    Raises DataError where it is in neither.
    """
    places = [Path(path).expanduser(), root / path]
    for place in places:
        if place.is_file():
            return place
    raise DataError(
        f"no such file: {places[0].absolute()} (nor {places[1].absolute()}): "
        "a file must be named from the working directory or the data directory; set data.source.path=FILE"
    )


def verified(path: Path, size: int, sha256: str) -> bytes:
    """Return the content of a file of known size and SHA-256; raise DataError for any other."""
    found = path.stat().st_size
    if found != size:
        raise DataError(f"{path} has {found} bytes, not {size}: it is damaged or another file; delete it")
    content = path.read_bytes()
    digest = hashlib.sha256(content).hexdigest()
    if digest != sha256:
        raise DataError(f"{path} has SHA-256 {digest}, not {sha256}: it is damaged or another file; delete it")
    return content
