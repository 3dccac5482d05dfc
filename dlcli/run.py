"""A run folder: everything that `eval`, `sample` and `attack` need, and nothing that can execute.

outputs/<model>-<data>/<time>/
    run.json        the composed config as plain data, facts, versions, git commit and diff, command, seed
    status.json     state, best score, position
    lock            held by the process that writes here
    checkpoints/    see engine/store.py
    scalars.csv  report.json  figures/  samples/  events.out.tfevents...
"""

import os
import re
import sys
from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from dlcli import disk, jsonfile
from dlcli.errors import ConfigError, DataError, RefusedError, RunError, StorageError
from dlcli.text import printable

LAST = 2**62  # no step is beyond it


class Run:
    """One run folder; paths inside it are relative, so it can be moved."""

    def __init__(self, path: Path):
        self.path = path

    def __str__(self) -> str:
        return brief(self.path)

    @classmethod
    def create(cls, outputs: Path, name: str, record: dict[str, Any]) -> "Run":
        """Make a folder that nobody else has, and write the record into it. Raises ConfigError and StorageError.

        Raises DataError if the record could not be read again.
        """
        if not re.fullmatch(r"\w[\w.+-]*", name):
            raise ConfigError(
                f"name={name}: letters, digits and . + - _ only, and one of the first two at the start; "
                "it becomes the name of a folder"
            )
        content = jsonfile.encode(record)
        if len(content) > jsonfile.LIMIT:
            raise DataError(
                f"{name}: what a run must note of these data takes {len(content):,} bytes, more than the "
                f"{jsonfile.LIMIT:,} that are read again; take data with fewer columns, classes or tokens"
            )
        try:
            (outputs / name).mkdir(parents=True, exist_ok=True)
            run = cls(fresh((outputs / name).absolute()))
            for folder in ("checkpoints", "figures", "samples"):
                (run.path / folder).mkdir()
            run.put("run.json", content)
        except OSError as error:
            raise StorageError(
                f"{outputs}: cannot be written ({error.strerror}); choose another with paths.outputs=DIR"
            ) from error
        return run

    def write(self, name: str, content: dict[str, Any]) -> None:
        """Write a JSON file in one piece. Raises StorageError; the former one then still stands."""
        self.put(name, jsonfile.encode(content))

    def put(self, name: str, content: bytes) -> None:
        """Write a file in one piece. Raises StorageError; the former one then still stands."""
        try:
            (self.path / name).parent.mkdir(exist_ok=True)  # git drops folders that were empty
            disk.write(self.path / name, content)
        except OSError as error:
            raise StorageError(f"{self}/{name}: cannot be written ({error.strerror}); make room there") from error

    def read(self, name: str) -> dict[str, Any]:
        """Return a JSON file of the run; raises RunError if it is missing or damaged."""
        try:
            return jsonfile.read(self.path / name)
        except FileNotFoundError as error:
            raise RunError(f"{self}: no run folder ({name} is missing); `dl ls runs` lists yours") from error
        except (ValueError, OSError) as error:
            raise RunError(f"{self}/{name}: damaged ({error}); the run cannot be used") from error

    def __truediv__(self, name: str) -> Path:
        return self.path / name

    @property
    def record(self) -> dict[str, Any]:
        """What was written when the run began; raises RunError if it is not the record of a run.

        Raises RefusedError if something in the folder, however deep, leads out of it.
        """
        try:
            link = next(links(self.path), None)
        except OSError as error:
            raise RunError(f"{error.filename}: cannot be searched for links ({error.strerror}); allow it") from error
        if link:
            raise RefusedError(f"{brief(link)}: a link, which may lead out of the run; put the real thing there")
        record = self.read("run.json")
        config = record.get("config")
        for part in ("model", "data"):
            if not isinstance(config, dict) or not isinstance(config.get(part), dict):
                raise RunError(f"{self}/run.json: damaged (it has no {part}); the run cannot be used")
        return record

    @property
    def status(self) -> dict[str, Any]:
        """State, position and best score; empty before the first checkpoint."""
        return self.read("status.json") if (self / "status.json").exists() else {}

    def reported(self, steps: int) -> bool:
        """Tell whether the report is that of a training of so many steps; former versions wrote none down."""
        return (self / "report.json").exists() and self.read("report.json").get("steps", steps) == steps

    @property
    def at(self) -> int:
        """The step of the best score; 0 where the folder tells none that there can be."""
        step = self.status.get("at")
        return step if type(step) is int and 0 <= step < LAST else 0


def fresh(folder: Path) -> Path:
    """Make a new folder that is named for this microsecond: names sort by time, and no two runs share one."""
    while True:
        path = folder / datetime.now().strftime("%Y-%m-%d_%H-%M-%S-%f")
        try:
            path.mkdir()
        except FileExistsError:
            continue
        return path


def links(folder: Path) -> Iterator[Path]:
    """Yield the links in a folder and below it; none is followed. Raises OSError for what cannot be looked into."""
    folders = [folder]
    while folders:
        with suppress(FileNotFoundError), os.scandir(folders.pop()) as entries:  # another process may tidy up
            for entry in entries:
                if entry.is_symlink():
                    yield Path(entry.path)
                elif entry.is_dir(follow_symlinks=False):
                    folders.append(Path(entry.path))


def brief(path: Path) -> str:
    """Return a path as people type it: from here, if it lies below."""
    here = Path.cwd()
    return str(path.relative_to(here) if path.is_relative_to(here) else path)


def runs(outputs: Path) -> list[Run]:
    """Return all runs below the outputs folder, the oldest first, by the time they began."""
    found = [path.parent.absolute() for path in outputs.glob("*/*/run.json")]
    return [Run(path) for path in sorted(found, key=lambda path: (path.name, path.parent.name))]


def unfinished(outputs: Path) -> Run | None:
    """Return the newest run that has a checkpoint and is not done, or not told in a report, if there is one."""
    for run in reversed(runs(outputs)):
        try:
            done = (now := run.status).get("state") == "done" and run.reported(now.get("step", 0))
        except RunError as error:
            print(f"warning: {printable(str(error))}; the next older run serves", file=sys.stderr)
            continue
        if (run / "checkpoints/manifest.jsonl").exists() and not done:
            return run
    return None


def find(outputs: Path, name: str | None) -> Run:
    """Return the run that a name or path means; None or "last": the newest with a checkpoint. Raises RunError.

    A folder means the newest run in it, and only a name of no run and no folder is looked for within names.
    """
    known = runs(outputs)
    if name in (None, "last"):
        usable = [run for run in known if (run / "checkpoints/manifest.jsonl").exists()]
        if not usable:
            raise RunError(f"{outputs}: no runs yet; start one with `dl train model=vae`")
        return usable[-1]
    for path in (Path(name), outputs / name):
        if (path / "run.json").is_file():
            return Run(path.absolute())
    folders = {Path(name).absolute(), (outputs / name).absolute()}
    fitting = [run for run in known if name == run.path.name or not folders.isdisjoint(run.path.parents)]
    fitting = fitting or [run for run in known if name in f"{run.path.parent.name}/{run.path.name}"]
    if fitting:
        return fitting[-1]
    names = [f"{run.path.parent.name}/{run.path.name}" for run in known]
    near = get_close_matches(name, [*names, *{n.split("/")[0] for n in names}], 1, 0.5)
    raise RunError(f"{name}: no such run; {f'did you mean {near[0]}? ' if near else ''}`dl ls runs` lists yours")
