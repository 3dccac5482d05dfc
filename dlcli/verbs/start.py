"""Start a training, or a sweep under Hydra, once everything is checked."""

import os
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from dlcli.config import compose, paths
from dlcli.config.check import check, parse
from dlcli.engine.signals import hold_back
from dlcli.errors import ConfigError, DlError, Interrupted, OutOfMemoryError, StorageError
from dlcli.lock import held
from dlcli.run import Run
from dlcli.sweep import adaptive, summary
from dlcli.sweep.axes import OURS, axes, corners, draws, grid
from dlcli.sweep.folder import folder
from dlcli.sweep.ledger import Ledger


def start(overrides: list[str], config_dir: Path | None, *, multirun: bool, dry_run: bool) -> None:
    """Check everything, then run the job or the sweep. Raises ConfigError before torch is imported."""
    hold_back()
    paths.use(config_dir)
    config = check("train", corners(overrides) if multirun else overrides, multirun)
    own = [word for word in overrides if word.lstrip("+~").startswith("hydra")]
    if own and not multirun:
        raise ConfigError(f"{own[0]}: Hydra's own keys steer sweeps; add -m")
    if multirun and config.find_lr:
        raise ConfigError("find_lr=true: one model at a time, without -m")
    if config.resume and config.find_lr:
        raise ConfigError(
            f"resume={config.resume}: find_lr=true tests a new model, not a run; leave one of the two out"
        )
    jobs = planned(config, overrides) if multirun else [list(overrides)]
    if dry_run or config.dry_run:
        dry(config, jobs)
    elif multirun:
        sweep(config, overrides)
    elif config.find_lr:
        from dlcli.verbs.rate import find_rate

        find_rate(config, overrides)
    else:
        from dlcli.verbs.train import train

        train(config, overrides)


def planned(config: Any, overrides: Sequence[str]) -> list[list[str]]:
    """Return the jobs of a sweep as far as they are known beforehand. Raises ConfigError."""
    for word in overrides:
        if word.startswith(OURS) and parse(word).is_sweep_override():
            raise ConfigError(f"{word}: one value only; it steers the sweep as a whole")
    if "init_from=last" in overrides:
        raise ConfigError("init_from=last: in a sweep its own runs become the newest; name the run")
    settings, all_axes = config.sweep, axes(overrides)
    if settings.search == "grid":
        return grid(all_axes)
    if all(len(axis.options) == 1 for axis in all_axes):
        raise ConfigError(f"sweep={settings.search}: no key varies; try optimizer.lr='tag(log,interval(1e-4,1e-1))'")
    if settings.search == "random":
        return list(draws(all_axes, settings.trials, settings.seed))
    adaptive.require()
    return []


def dry(config: Any, jobs: Sequence[Sequence[str]]) -> None:
    """Print what would run."""
    if not jobs:
        print(f"all keys are in order; {config.sweep.trials} jobs would be chosen one after another")
        return
    print(f"all keys are in order; {len(jobs)} job{'s' if len(jobs) > 1 else ''} would run:")
    for number, words in enumerate(jobs):
        print(f"  {number}: dl train {shlex.join(words)}")


def sweep(config: Any, overrides: Sequence[str]) -> None:
    """Run all jobs that are not done, and say what came of them. Raises SweepError, Interrupted or StorageError."""
    place = folder(Path(config.paths.outputs), overrides, axes(overrides), config.sweep.again)
    escaped = str(place).replace("'", "\\'")
    with held(place):
        ledger = Ledger(place)
        ledger.settle()
        print(f"sweep    {Run(place)}")
        try:
            compose.multirun(job, "train", [*overrides, f"hydra.sweep.dir='{escaped}'"])
        except KeyboardInterrupt as stop:
            summary.show(ledger)
            error = Interrupted("the sweep was stopped; the same command goes on with it")
            error.code = stop.args[0] if stop.args else Interrupted.code
            raise error from stop
        except StorageError:
            summary.show(ledger)
            raise
        summary.show(ledger)
        summary.verdict(ledger)


def job(config: Any) -> float | None:
    """Train one job of a sweep inside a launcher that others wrote; its failure does not end the other jobs."""
    from hydra.core.hydra_config import HydraConfig

    hydra = HydraConfig.get()
    ledger, overrides = Ledger(Path(hydra.sweep.dir)), list(hydra.overrides.task)
    number = ledger.number(overrides)
    if number is None:  # a sweeper that others wrote, too
        number = hydra.job.num
        ledger.note(number, "queued", overrides=overrides)
    print(f"\njob {number}: {' '.join(overrides)}")
    try:
        scores = recorded(ledger, number, config, overrides)
    except Interrupted as stop:
        raise KeyboardInterrupt(stop.code) from stop  # launchers go on to the next job after any mere Exception
    except Exception as error:
        print(f"job {number} failed: {error}")
        return None
    return scores.get(ledger.rows()[number]["monitor"])


def apart(ledger: Ledger, number: int, overrides: Sequence[str]) -> None:
    """Train one job of a sweep in a process of its own."""
    hold_back()
    recorded(ledger, number, check("train", overrides), overrides)


def recorded(ledger: Ledger, number: int, config: Any, overrides: Sequence[str]) -> dict[str, float]:
    """Train, or go on where the job was interrupted, and write what becomes of it into the ledger of its sweep."""
    from dlcli.verbs.train import train

    runs: list[Run] = []

    def begun(run: Run) -> None:
        runs.append(run)
        ledger.note(number, "running", pid=os.getpid(), run=f"{run.path.parent.name}/{run.path.name}")

    before = ledger.unfinished(number, Path(config.paths.outputs))
    if before:
        config.resume, overrides = str(before), [f"resume={before.parent.name}/{before.name}"]
    try:
        scores = train(config, overrides, begun)
    except Interrupted:
        ledger.note(number, "interrupted")
        raise
    except Exception as error:
        out = type(error).__name__ == "OutOfMemoryError"
        code = OutOfMemoryError.code if out else getattr(error, "code", DlError.code)
        ledger.note(number, "failed", code=code, error=str(error) or type(error).__name__)
        raise
    told = runs[-1].status
    ledger.note(number, "done", scores=scores, monitor=told["monitor"], rising=told["rising"])
    return scores
