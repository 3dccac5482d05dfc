"""What came of a sweep: a table, the best first; means and spreads over seeds; a file for spreadsheets."""

import csv
import io
import math
import statistics
from collections.abc import Iterable, Sequence
from typing import Any

from dlcli import disk
from dlcli.errors import Interrupted, StorageError, SweepError
from dlcli.sweep.ledger import Ledger, Row
from dlcli.text import cell, printable


def show(ledger: Ledger) -> None:
    """Print the table of all jobs and the one over seeds, and write sweep.csv. Raises StorageError."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    rows = sorted(ledger.rows().values(), key=rank)
    names = shown(rows)
    shared = set.intersection(*(set(row["overrides"]) for row in rows)) if len(rows) > 1 else set()
    table = Table(box=None, title=Text(printable(" ".join(sorted(shared)))), title_justify="left")
    spread = Table(box=None)
    for heading in ("job", "overrides", *names, "state"):
        table.add_column(Text(heading))
    for heading in ("over seeds", *names, "runs"):
        spread.add_column(Text(heading))
    for row in rows:
        values = [number(row["scores"][name]) if name in scores(row) else "" for name in names]
        words = [str(row["job"]), differing(row["overrides"], shared), *values, row["state"]]
        table.add_row(*(Text(printable(word)) for word in words))
    groups = over_seeds(rows, shared)
    for setting, group in groups.items() if max(map(len, groups.values()), default=0) > 1 else ():
        means = (mean_and_spread([found[name] for found in group if name in found]) for name in names)
        spread.add_row(*(Text(printable(word)) for word in (setting or "all", *means, len(group))))
    Console(highlight=False).print("", table, *(["", spread] if spread.row_count else []))
    try:
        disk.write(ledger.folder / "sweep.csv", spreadsheet(ledger.rows().values()).encode())
    except OSError as error:
        raise StorageError(f"{ledger.folder}/sweep.csv: cannot be written ({error.strerror})") from error


def verdict(ledger: Ledger) -> None:
    """Raise SweepError that lists every failure, or Interrupted if a job is not finished."""
    rows = ledger.rows().values()
    if failed := [row for row in rows if row["state"] == "failed"]:
        lines = [f"{len(failed)} of {len(rows)} jobs failed; the same command tries them again"]
        for row in failed:
            what = f"job {row['job']} ({' '.join(row['overrides'])}), exit code {row.get('code')}: {row.get('error')}"
            lines += [printable(what), f"  see {ledger.log(row['job'])}"]
        raise SweepError("\n".join(lines))
    if any(row["state"] != "done" for row in rows):
        raise Interrupted("jobs were interrupted; the same command goes on with them")


def rank(row: Row) -> tuple[bool, float, int]:
    """Return what puts the best job first, and those without a finite score last."""
    value = scores(row).get(str(row.get("monitor")), math.nan)
    good = row["state"] == "done" and math.isfinite(value)
    return not good, (-value if row.get("rising") else value) if good else 0.0, row["job"]


def scores(row: Row) -> dict[str, float]:
    """Return the numbers that a finished job reported."""
    found = row.get("scores") if row["state"] == "done" else None
    return {name: value for name, value in (found or {}).items() if isinstance(value, (int, float))}


def shown(rows: Iterable[Row]) -> list[str]:
    """Return the scores that the tables show: the loss and what is monitored, else the first three."""
    names = list(dict.fromkeys(name for row in rows for name in scores(row)))
    monitored = {row.get("monitor") for row in rows if scores(row)} | {"loss"}
    chosen = [name for name in names if name in monitored]
    return chosen if len(chosen) > 1 else names[:3]


def differing(overrides: Sequence[str], shared: set[str]) -> str:
    """Return the assignments in which a job differs from others."""
    return " ".join(word for word in overrides if word not in shared)


def over_seeds(rows: Iterable[Row], shared: set[str]) -> dict[str, list[dict[str, float]]]:
    """Group the scores of finished jobs by everything but the seed, in the order of the rows."""
    groups: dict[str, list[dict[str, float]]] = {}
    for row in rows:
        if scores(row):
            setting = differing([word for word in row["overrides"] if not word.startswith("seed=")], shared)
            groups.setdefault(setting, []).append(scores(row))
    return groups


def mean_and_spread(values: Sequence[float]) -> str:
    """Return mean ± standard deviation (of a sample)."""
    if len(values) < 2:
        return number(values[0]) if values else ""
    return f"{statistics.fmean(values):.4g} ± {statistics.stdev(values):.2g}"


def number(value: float) -> str:
    """Return a number in four digits."""
    return f"{value:.4g}"


def spreadsheet(rows: Iterable[Row]) -> str:
    """Return all jobs as CSV: a column for each key and each score."""
    rows = list(rows)
    given = [dict(word.lstrip("+").split("=", 1) for word in row["overrides"] if "=" in word) for row in rows]
    keys = list(dict.fromkeys(key for words in given for key in words))
    names = list(dict.fromkeys(name for row in rows for name in scores(row)))
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow([harmless(word) for word in ("job", "state", *keys, *names, "run", "code", "error")])
    for row, words in zip(rows, given, strict=True):
        results = [scores(row).get(name, "") for name in names]
        failure = [row.get("code"), row.get("error")] if row["state"] == "failed" else ["", ""]
        line = [
            row["job"],
            row["state"],
            *(words.get(key, "") for key in keys),
            *results,
            row.get("run") or "",
            *failure,
        ]
        writer.writerow([harmless(value) for value in line])
    return file.getvalue()


def harmless(value: Any) -> str:
    """Return a cell that no spreadsheet takes for a formula; numbers stay numbers."""
    try:
        float(value)
    except (TypeError, ValueError):
        return cell(value)
    return str(value)
