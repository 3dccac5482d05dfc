"""Start a training or a sweep: check first, then hand over to Hydra."""

import json
import statistics
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from dlcli.config import compose, paths
from dlcli.config.check import check
from dlcli.errors import DlError, Interrupted, SweepError


def start(overrides: list[str], config_dir: Path | None, *, multirun: bool, dry_run: bool) -> None:
    """Check everything, then run the job or the sweep. Raises ConfigError before torch is imported."""
    paths.use(config_dir)
    config = check("train", overrides, multirun)
    if dry_run:
        dry(config, overrides)
        return
    if not multirun:
        single(overrides)
        return
    folder = Path(config.paths.outputs) / "sweeps" / datetime.now().strftime("%Y-%m-%d_%H-%M-%S-%f")
    try:
        compose.run(job, "train", ["--multirun"], [f"hydra.sweep.dir={folder}", *overrides])
    except KeyboardInterrupt as stop:
        conclude(folder)
        raise Interrupted("the sweep was stopped; jobs that are not in the table did not start") from stop
    conclude(folder)


def single(overrides: Sequence[str]) -> None:
    """Train once; an error is carried past Hydra, which would print a page of its own."""
    from dlcli.verbs.train import train

    caught: list[BaseException] = []

    def task(config: Any) -> None:
        try:
            train(config, overrides)
        except Exception as error:
            caught.append(error)

    compose.run(task, "train", [], overrides)
    if caught:
        raise caught[0]


def job(config: Any) -> float | None:
    """Train one job of a sweep; its outcome is written down at once, and a failure does not end the others."""
    from hydra.core.hydra_config import HydraConfig

    from dlcli.verbs.train import train

    hydra = HydraConfig.get()
    overrides = list(hydra.overrides.task)
    print(f"\njob {hydra.job.num}: {' '.join(overrides)}")
    row: dict[str, Any] = {"job": hydra.job.num, "overrides": overrides, "state": "done"}
    try:
        scores = train(config, overrides)
        row |= {"scores": scores}
    except Interrupted as stop:
        note(hydra.sweep.dir, row | {"state": "interrupted"})
        print(stop)
        raise KeyboardInterrupt from stop  # launchers go on to the next job after any mere Exception
    except Exception as error:  # one job must not end the others, whatever it dies of
        row |= {
            "state": "failed",
            "error": f"{type(error).__name__}: {error}",
            "code": getattr(error, "code", DlError.code),
        }
        print(f"job {hydra.job.num} failed: {error}")
    note(hydra.sweep.dir, row)
    return next(iter(row.get("scores", {}).values()), None)


def note(folder: str, row: dict[str, Any]) -> None:
    """Write down the outcome of a job."""
    with (Path(folder) / "jobs.jsonl").open("a", encoding="utf-8") as file:
        file.write(json.dumps(row) + "\n")


def dry(config: Any, overrides: Sequence[str]) -> None:
    """Print what would run."""
    import itertools

    from dlcli.config.check import parse, sweep

    jobs = list(
        itertools.product(*(sweep(parse(override)) for override in overrides if not override.startswith("hydra")))
    )
    print(f"everything is in order; {len(jobs)} job{'s' if len(jobs) > 1 else ''} would run:")
    for number, words in enumerate(jobs):
        print(f"  {number}: dl train {' '.join(words)}")


def conclude(folder: Path) -> None:
    """Print a table of all jobs, and means and spreads over seeds. Raises SweepError if a job failed."""
    from rich.console import Console
    from rich.table import Table

    lines = (folder / "jobs.jsonl").read_text(encoding="utf-8").splitlines() if (folder / "jobs.jsonl").exists() else []
    rows = sorted((json.loads(line) for line in lines), key=lambda row: row["job"])
    names = list(dict.fromkeys(name for row in rows for name in row.get("scores", {})))[:2]
    shared = set.intersection(*(set(row["overrides"]) for row in rows)) if len(rows) > 1 else set()
    table = Table("job", "overrides", *names, "state", box=None, title=" ".join(sorted(shared)), title_justify="left")
    for row in rows:
        values = [f"{row['scores'][name]:.4g}" if name in row.get("scores", {}) else "" for name in names]
        table.add_row(str(row["job"]), differing(row["overrides"], shared), *values, row["state"])
    spread = Table("over seeds", *names, "runs", box=None)
    for setting, group in over_seeds(rows, shared).items():
        means = (mean_and_spread([scores[name] for scores in group if name in scores]) for name in names)
        spread.add_row(setting or "all", *means, str(len(group)))
    console = Console(highlight=False)
    console.print("", table, "", spread)
    failed = [row for row in rows if row["state"] == "failed"]
    if failed:
        raise SweepError(
            "\n".join(
                [
                    f"{len(failed)} of {len(rows)} jobs failed",
                    *(f"job {r['job']} ({' '.join(r['overrides'])}): {r['error']}" for r in failed),
                ]
            )
        )


def differing(overrides: Sequence[str], shared: set[str]) -> str:
    """Return the assignments in which a job differs from others."""
    return " ".join(word for word in overrides if word not in shared)


def over_seeds(rows: Sequence[dict[str, Any]], shared: set[str]) -> dict[str, list[dict[str, float]]]:
    """Group the scores of finished jobs by everything but the seed."""
    groups: dict[str, list[dict[str, float]]] = {}
    for row in rows:
        if "scores" in row:
            setting = differing([word for word in row["overrides"] if not word.startswith("seed=")], shared)
            groups.setdefault(setting, []).append(row["scores"])
    return groups


def mean_and_spread(values: Sequence[float]) -> str:
    """Return mean ± standard deviation (of a sample)."""
    if len(values) < 2:
        return f"{values[0]:.4g}" if values else ""
    return f"{statistics.mean(values):.4g} ± {statistics.stdev(values):.2g}"
