"""The ledger of a sweep, `sweep.jsonl`: one line for every change of a job, synced before anything else happens.

A job is known by its overrides, whatever their order; its number, once given, stays. The last line about a job counts;
a line that a crash has torn is passed over.
"""

import json
import os
import re
import time
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from dlcli import disk, jsonfile
from dlcli.errors import StorageError

RUN = re.compile(r"\w[\w.+-]*/\w[\w.+-]*")  # a run folder, as seen from the outputs folder
Row = dict[str, Any]


class Ledger:
    """What is known about the jobs of one sweep."""

    def __init__(self, folder: Path):
        self.folder, self.path = folder, folder / "sweep.jsonl"

    def log(self, job: int) -> Path:
        """Return the file that keeps what a job says."""
        return self.folder / f"job-{job}.log"

    def note(self, job: int, state: str, **more: Any) -> None:
        """Write down what became of a job. Raises StorageError."""
        line = json.dumps({"job": job, "state": state, "at": datetime.now().isoformat(" ", "seconds"), **more})
        try:
            disk.append(self.path, line)
        except OSError as error:
            raise StorageError(f"{self.path}: cannot be written ({error.strerror}); make room there") from error

    def rows(self) -> dict[int, Row]:
        """Return the jobs by number, each with everything that was noted about it."""
        found: dict[int, Row] = {}
        for line in disk.read(self.path).splitlines() if self.path.exists() else []:
            try:
                change = jsonfile.parse(line)
                found.setdefault(change["job"], {"overrides": change.get("overrides")}).update(change)
            except (ValueError, KeyError, TypeError):
                continue
        whole = (row for row in found.values() if isinstance(row["job"], int) and isinstance(row["overrides"], list))
        return {row["job"]: row for row in sorted(whole, key=lambda row: row["job"])}

    def number(self, overrides: Sequence[str]) -> int | None:
        """Return the number of the job with these overrides, if it has one."""
        return self.numbers().get(tuple(sorted(overrides)))

    def numbers(self) -> dict[tuple[str, ...], int]:
        """Return the number of each job by its sorted overrides."""
        return {tuple(sorted(row["overrides"])): number for number, row in self.rows().items()}

    def enlist(self, jobs: Sequence[Sequence[str]]) -> list[int]:
        """Queue what is new and what failed; return the numbers of the jobs that are still to do, each once."""
        rows, known = self.rows(), self.numbers()
        for words in jobs:
            number = known.setdefault(tuple(sorted(words)), max([-1, *known.values()]) + 1)
            if number not in rows or rows[number]["state"] == "failed":
                self.note(number, "queued", overrides=list(words), run=None)
        numbers = dict.fromkeys(known[tuple(sorted(words))] for words in jobs)
        return [number for number in numbers if rows.get(number, {}).get("state") != "done"]

    def unfinished(self, job: int, outputs: Path) -> Path | None:
        """Return the run folder in which a job can go on, if it left one with a checkpoint."""
        row = self.rows().get(job, {})
        run = str(row.get("run"))
        if row.get("state") not in ("running", "interrupted") or not RUN.fullmatch(run):
            return None
        return outputs / run if (outputs / run / "checkpoints/manifest.jsonl").exists() else None

    def settle(self, seconds: float = 5.0) -> None:
        """Wait until the jobs of a sweep that was killed have saved and ended, which takes them less than this."""
        end = time.monotonic() + seconds
        pids = [row.get("pid") for row in self.rows().values() if row["state"] == "running"]
        while time.monotonic() < end and any(isinstance(pid, int) and alive(pid) for pid in pids):
            time.sleep(0.05)


def alive(pid: int) -> bool:
    """Tell whether a process still runs here."""
    try:
        os.kill(pid, 0)
    except (OSError, OverflowError):
        return False
    return pid > 0
