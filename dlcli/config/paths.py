"""Where the configs lie: inside the wheel, beside an editable checkout, and in the user's own directory."""

import os
from collections.abc import Iterator
from pathlib import Path

from dlcli.errors import ConfigError

USER_DIRECTORY = "DL_CONF"  # environment variable, so that the worker processes of a launcher see it too


def packaged() -> Path:
    """Return the directory of the configs that come with `dl`."""
    package = Path(__file__).resolve().parents[1]
    for path in (package / "conf", package.parent / "conf"):
        if (path / "train.yaml").is_file():
            return path
    raise ConfigError("the configs of dl are missing from this installation; install it again")


def use(directory: Path | None) -> None:
    """Let the user's own config directory join, and win over the packaged one."""
    if directory is None:
        return
    if not directory.is_dir():
        raise ConfigError(f"--config-dir {directory}: no such directory; it holds groups such as model/mine.yaml")
    os.environ[USER_DIRECTORY] = str(directory.resolve())


def directories() -> list[Path]:
    """Return the config directories, the winning one first."""
    own = os.environ.get(USER_DIRECTORY)
    return [*([Path(own)] if own else []), packaged()]


def groups() -> list[str]:
    """Return the config groups: model, data, optimizer, ..."""
    return sorted({path.name for root in directories() for path in root.iterdir() if path.is_dir()})


def options(group: str) -> dict[str, Path]:
    """Return the options of a group and their files, sorted by name."""
    found: dict[str, Path] = {}
    for root in reversed(directories()):
        found |= {path.stem: path for path in (root / group).glob("*.yaml")}
    return dict(sorted(found.items()))


def lines(path: Path) -> Iterator[str]:
    """Yield the lines of a config file."""
    yield from path.read_text(encoding="utf-8").splitlines()
