"""`dl ls`: what there is, as a table; neither Hydra nor torch is needed."""

import platform
from collections.abc import Iterator
from datetime import datetime, timedelta
from difflib import get_close_matches
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from dlcli.config import catalog, paths
from dlcli.errors import ConfigError, RunError
from dlcli.run import runs
from dlcli.text import printable


def ls(what: str, pattern: str, config_dir: Path | None) -> None:
    """Print the options of a group, or the runs, whose names fit a pattern, or hold it if it has no wildcard."""
    paths.use(config_dir)
    pattern = pattern if set(pattern) & set("*?[") else f"*{pattern}*"
    known = {plural(group): group for group in paths.groups()}
    if what in (*known, *known.values()):
        table = options(known.get(what, what), pattern)
    elif what in ("runs", "run"):
        table = run_table(pattern)
    else:
        near = get_close_matches(what, [*known, "runs"], 1)
        hint = f"did you mean {near[0]}? " if near else ""
        raise ConfigError(f"ls {what}: no such list; {hint}there are {', '.join(known)} and runs")
    if table.row_count == 0:
        print(
            "no runs yet"
            if what.startswith("run") and not pattern.strip("*")
            else f"nothing in {what} is named like {pattern}"
        )
        return
    Console(highlight=False).print(table)


def plural(group: str) -> str:
    """Return the plural that people type."""
    if group == "data":
        return group
    return f"{group[:-1]}ies" if group.endswith("y") else f"{group}s"


def options(group: str, pattern: str) -> Table:
    """Return the options of a group with their descriptions; models with the data they begin with."""
    natural = group == "model"
    table = Table(group, *(["data"] if natural else []), "what it is", box=None)
    for name, path in paths.options(group).items():
        if fnmatch(name, pattern):
            table.add_row(name, *([data_of(path)] if natural else []), catalog.description(path))
    return table


def data_of(path: Path) -> str:
    """Return the data that a model file chooses."""
    chosen = (line.partition("override /data:")[2].strip() for line in paths.lines(path) if "override /data:" in line)
    return next(chosen, "")


def run_table(pattern: str, outputs: Path = Path("outputs")) -> Table:
    """Return the runs, the newest last, with best score, age and state."""
    table = Table(box=None)
    for heading in ("run", "state", "step", "best", "age"):
        table.add_column(heading, overflow="fold")  # a name that is cut names nothing
    for row in run_rows(pattern, outputs):
        table.add_row(*(Text(printable(cell)) for cell in row))
    return table


def run_rows(pattern: str, outputs: Path) -> Iterator[tuple[str, str, str, str, str]]:
    """Yield name, state, step, best score and age of each run."""
    for run in runs(outputs):
        name = f"{run.path.parent.name}/{run.path.name}"
        if fnmatch(name, pattern) or fnmatch(run.path.parent.name, pattern):
            try:
                status = run.status
            except RunError:
                status = {"state": "damaged"}
            score = f"{status.get('monitor')} {status['score']:.4g}" if isinstance(status.get("score"), float) else ""
            yield name, state(status), str(status.get("step", "")), score, age(run.path)


def state(status: dict[str, Any]) -> str:
    """Return the state of a run; one that says it is running, but whose process is gone, has died."""
    told = str(status.get("state", ""))
    if told == "running" and status.get("host") == platform.node() and not Path(f"/proc/{status.get('pid')}").exists():
        return "died" if Path("/proc/self").exists() else told
    return told


def age(path: Path) -> str:
    """Return how long ago a run was last written, in its largest unit."""
    seconds = max(timedelta(), datetime.now() - datetime.fromtimestamp(path.stat().st_mtime)).total_seconds()
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"
