"""Where the configs lie: inside the wheel, beside an editable checkout, and in the user's own directory."""

import os
from collections.abc import Iterator
from pathlib import Path

from dlcli.errors import ConfigError

ROOTED = ("model", "experiment")  # groups whose files may set keys outside their node
USER_DIRECTORY = "DL_CONF"  # environment variable, so that the worker processes of a launcher see it too


def packaged() -> Path:
    """Return the directory of the configs that come with `dl`."""
    package = Path(__file__).resolve().parents[1]
    for path in (package / "conf", package.parent / "conf"):
        if (path / "train.yaml").is_file():
            return path
    raise ConfigError("the configs of dl are missing from this installation; install it again")


def use(directory: Path | None) -> None:
    """Let the user's own config directory join, and win over the packaged one. Raises ConfigError for its faults."""
    if directory is None:
        return
    if not directory.is_dir():
        raise ConfigError(f"--config-dir {directory}: no such directory; it holds groups such as model/mine.yaml")
    if faults := [fault for path in sorted(directory.rglob("*.yaml")) if (fault := unfit(path))]:
        raise ConfigError("\n".join(faults))
    os.environ[USER_DIRECTORY] = str(directory.resolve())


def unfit(path: Path) -> str:
    """Return what is wrong with a config file of the user's, or nothing."""
    import yaml

    group = path.parent.name
    try:
        text = path.read_text(encoding="utf-8")
        content = yaml.safe_load(text)
    except (OSError, UnicodeDecodeError) as error:
        return f"{path}: cannot be read ({error})"
    except yaml.MarkedYAMLError as error:
        line = f", line {error.problem_mark.line + 1}" if error.problem_mark else ""
        return f"{path}{line}: no YAML: {error.problem}"
    if not isinstance(content, dict):
        return f"{path}: a config is made of keys and values, KEY: VALUE; this has none"
    if group in ROOTED and not text.startswith("# @package _global_"):
        return f"{path}: the first line of every file in {group}/ is `# @package _global_`"
    if group in ROOTED and not isinstance(content.get(group, {}), dict):
        return f"{path}: {group}: holds keys, and not {content[group]!r}"
    bases = {str(base) for base in content.get("defaults") or [] if isinstance(base, str)} - {"_self_"}
    missing = sorted(bases - {*options(group), *(other.stem for other in path.parent.glob("*.yaml"))})
    return f"{path}: defaults: no {group} is called {missing[0]}" if missing else ""


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
