"""How this package starts itself in another process."""

import os
import sys


def command(module: str, *words: str) -> list[str]:
    """Return the command line of a module; it finds the same packages as this process, and no others.

    Python puts the working directory on the path of modules for every `-m`: files of strangers may lie there.
    """
    safe = [] if {"", os.getcwd()} & set(sys.path) else ["-P"]
    return [sys.executable, *safe, "-m", module, *words]
