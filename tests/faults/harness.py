"""Trainings that are killed: each a fork of one warm process, killed by chance or by aim, and compared to the bit."""

import contextlib
import copy
import csv
import json
import os
import signal
import sys
import time
import traceback
import types
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch

from dlcli import disk
from dlcli.config import compose
from dlcli.engine.loop import Engine
from dlcli.engine.store import Store
from dlcli.errors import DlError
from dlcli.log import Log
from dlcli.models.classifier import Classifier
from dlcli.verbs import common, keeper
from dlcli.verbs import train as training

WORDS = (
    "model=mlp",
    "name=mlp",
    "data=iris",
    "batch=16",  # six steps an epoch
    "epochs=4",
    "model.net.widths=[8]",
    "model.net.dropout=0.3",
    "ema=0.9",
    "schedule=onecycle",
    "save.steps=5",
    "log.every=4",
)
STEPS = 24
DEADLINE = 60  # seconds that a child may take


def composed(*words: str) -> Any:
    """Return a config as the command line would."""
    with compose.loader():
        return compose.compose("train", ["name=mlp", *words])


def silent(patch: Any) -> None:
    """Leave out what takes long and has nothing to do with saving: figures, pictures, and git."""
    patch.setattr(Classifier, "report", lambda self, measured: {})
    patch.setattr(training, "pictures", lambda setup: {})
    patch.setattr(common, "git", dict)


def main() -> None:
    """Be `dl` in a process of its own, without what takes long."""
    from dlcli import cli

    silent(types.SimpleNamespace(setattr=setattr))
    cli.main()


def fork(act: Callable[[], Any]) -> int:
    """Do something in a child; return its process. What it says goes to `said.txt`."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of threads, of which none holds a lock here
        child = os.fork()
    if child:
        return child
    code = 1
    try:
        said = os.open("said.txt", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(said, 1)
        os.dup2(said, 2)
        sys.stdout = sys.stderr = os.fdopen(1, "w", closefd=False)
        act()
        code = 0
    except DlError as error:
        print(error)
        code = error.code
    except BaseException:
        traceback.print_exc()
    finally:
        with contextlib.suppress(OSError):
            sys.stdout.flush()
        os._exit(code)


def wait(child: int, seconds: float | None = None) -> int:
    """Return how a child ended, minus the signal if one killed it; after some seconds it is killed."""
    end = time.monotonic() + (DEADLINE if seconds is None else seconds)
    while time.monotonic() < end:
        pid, status = os.waitpid(child, os.WNOHANG)
        if pid:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.002)
    os.kill(child, signal.SIGKILL)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert seconds is not None, f"hangs: {Path('said.txt').read_text()}"
    return code


def only_run(outputs: Path) -> Path | None:
    """Return the run that there is, if it has a checkpoint."""
    found = [path.parent.parent for path in outputs.glob("*/*/checkpoints/manifest.jsonl")]
    assert len(found) < 2
    return found[0] if found else None


def begin(config: Any, outputs: Path, trap: Callable[[], Any] = str, *overrides: str) -> int:
    """Start a training in a child, or go on with the one that there is; return the process."""

    def act() -> None:
        own, words = copy.deepcopy(config), list(overrides)
        own.paths.outputs = str(outputs)
        if run := only_run(outputs):
            words = [f"resume={run}", *words]
            own.resume = str(run)
        trap()
        training.train(own, words)

    return fork(act)


def die() -> None:
    """End this process as power does."""
    os.kill(os.getpid(), signal.SIGKILL)


def aim(point: str, count: int, act: Callable[[], Any] = die) -> Callable[[], None]:
    """Return a trap: it acts when a point is passed for the count-th time."""
    left = [count]

    def passed(name: str) -> None:
        if name == point:
            left[0] -= 1
            if left[0] == 0:
                act()

    def around(owner: Any, attribute: str, name: str) -> None:
        real = getattr(owner, attribute)

        def wrapped(*arguments: Any, **more: Any) -> Any:
            passed(f"before {name}")
            result = real(*arguments, **more)
            passed(f"after {name}")
            return result

        setattr(owner, attribute, wrapped)

    def set_up() -> None:
        disk.os = types.SimpleNamespace(**vars(os))
        write = os.write

        def torn(descriptor: int, content: Any) -> int:
            if point == "amid write" and left[0] == 1:
                write(descriptor, content[: len(content) // 2])
            passed("amid write")
            return write(descriptor, content)

        disk.os.write = torn
        for owner, attribute, name in PLACES:
            around(owner() if callable(owner) and not isinstance(owner, type) else owner, attribute, name)

    return set_up


PLACES: tuple[tuple[Any, str, str], ...] = (
    (lambda: disk.os, "write", "write"),
    (lambda: disk.os, "fsync", "fsync"),
    (lambda: disk.os, "replace", "rename"),
    (disk, "sync", "folder sync"),
    (disk, "append", "manifest line"),
    (Store, "prune", "prune"),
    (keeper.Keeper, "save", "save"),
    (keeper.Keeper, "step_end", "step end"),
    (Engine, "learn", "step"),
    (Engine, "measure", "validation"),
    (Engine, "finish_epoch", "epoch end"),
    (training, "finish", "finish"),
    (Log, "scalars", "scalars"),
)
SAVING = [f"{when} {name}" for _, _, name in PLACES[:6] for when in ("before", "after")] + ["amid write"]


def rows(run: Path) -> list[list[str]]:
    """Return the rows of `scalars.csv` without those that depend on the clock."""
    with (run / "scalars.csv").open(newline="") as file:
        return [row for row in csv.reader(file) if not row[1].startswith("speed")]


def assert_same(run: Path, other: Path) -> None:
    """Compare all that two finished runs have kept, with no tolerance."""
    (tensors, plain), (others, other_plain) = (Store(path / "checkpoints").newest() for path in (run, other))
    assert tensors.keys() == others.keys()
    for name, value in tensors.items():
        assert value.dtype == others[name].dtype
        assert torch.equal(value, others[name]), name
    assert json.dumps(plain) == json.dumps(other_plain)
    assert rows(run) == rows(other)
    assert (run / "checkpoints/best.safetensors").read_bytes() == (other / "checkpoints/best.safetensors").read_bytes()
    reports = [json.loads((path / "report.json").read_text()) | {"seconds": 0} for path in (run, other)]
    assert reports[0] == reports[1]
    assert json.loads((run / "status.json").read_text())["state"] == "done"


def assert_tidy(run: Path) -> None:
    """See that nothing half written is left, and no checkpoint more than is kept."""
    assert not list(run.rglob("*.tmp-*"))
    assert len(list((run / "checkpoints").glob("step-*"))) == 2


def step(run: Path | None) -> int:
    """Return the step of the newest checkpoint; -1 if there is no run yet."""
    return Store(run / "checkpoints", say=str).newest()[1]["clock"]["step"] if run else -1


def finished(config: Any, outputs: Path, *overrides: str) -> Path:
    """Go on with a run to its end, and return it."""
    code = wait(begin(config, outputs, str, *overrides))
    assert code == 0, Path("said.txt").read_text()
    run = only_run(outputs)
    assert run
    return run


def killed(config: Any, outputs: Path, delays: Iterator[float]) -> tuple[Path, int]:
    """Kill and resume a run until it is done; return it with the number of kills."""
    kills = 0
    for delay in delays:
        before = step(only_run(outputs))
        code = wait(begin(config, outputs), delay)
        run = only_run(outputs)
        assert step(run) >= before
        if code == 0 and run:
            return run, kills
        assert code == -signal.SIGKILL, Path("said.txt").read_text()
        kills += 1
    return finished(config, outputs), kills


if __name__ == "__main__":
    main()
