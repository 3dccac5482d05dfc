"""How a hostile file comes to its place: written over what stands there, made, or a link that leads out."""

import os
import shutil
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

Place = Callable[[Path], Any]


class Case(NamedTuple):
    """A hostile file: what it pretends to be, its name, and a builder that puts it at a path."""

    kind: str  # checkpoint, record, plain, scalars, stray, arrays, table, idx
    name: str
    place: Place


def put(content: bytes) -> Place:
    """Return a builder that replaces a file by bytes."""
    return lambda path: (remove(path), path.write_bytes(content))


def remove(path: Path) -> None:
    """Remove whatever stands at a path."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def made(make: Callable[[Path], Any]) -> Place:
    """Return a builder that replaces a file by something made."""
    return lambda path: (remove(path), make(path))


def listen(path: Path) -> None:
    """Put a socket at a path; its name may be short only."""
    here = os.getcwd()
    os.chdir(path.parent)
    try:
        with socket.socket(socket.AF_UNIX) as door:
            door.bind(path.name)
    finally:
        os.chdir(here)


def sparse(path: Path) -> None:
    """Put a file of 100 GB without content at a path."""
    with path.open("wb") as file:
        file.truncate(100 * 10**9)


def outside(path: Path) -> Path:
    """Return the folder beside the one in which the command may write."""
    return next(parent for parent in path.parents if parent.name == "inside").parent / "outside"


def lead_out(path: Path) -> None:
    """Move a file outside, and leave a link to it."""
    target = outside(path) / "secret"
    if path.is_file():
        shutil.copy(path, target)
    remove(path)
    path.symlink_to(target)


def lead_folder_out(path: Path) -> None:
    """Move a folder outside, and leave a link to it."""
    target = outside(path) / path.name
    target.mkdir(exist_ok=True)
    if path.is_dir():
        shutil.rmtree(target)
        shutil.move(path, target)
    path.symlink_to(target)


ODD: dict[str, Place] = {
    "link to /etc/passwd": made(lambda path: path.symlink_to("/etc/passwd")),
    "link to /dev/zero": made(lambda path: path.symlink_to("/dev/zero")),
    "link to itself": made(lambda path: path.symlink_to(path.name)),
    "link to nothing": made(lambda path: path.symlink_to(outside(path) / "made")),
    "link out of the run": lead_out,
    "pipe": made(os.mkfifo),
    "socket": made(listen),
    "folder": made(os.mkdir),
    "100 GB of nothing": made(sparse),
    "no permission": made(lambda path: (path.write_bytes(b"{}"), path.chmod(0))),
}
