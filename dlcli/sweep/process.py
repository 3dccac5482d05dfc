"""One job of a sweep as a process of its own, in a session of its own: nothing that it starts outlives it."""

import os
import signal
import subprocess
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

GRACE = 5.0  # seconds between the request to end and the end


class Process:
    """A job that runs; what it says goes to `job-N.log`."""

    def __init__(self, number: int, words: list[str], log: Path, environment: dict[str, str]):
        self.number, self.log = number, log
        with log.open("ab") as file:
            self.shown = self.started = file.tell()
            streams: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": file, "stderr": subprocess.STDOUT}
            self.popen = subprocess.Popen(words, start_new_session=True, env=environment, **streams)
        self.pid, self.began = self.popen.pid, time.monotonic()
        self.asked: float | None = None
        self.late = False

    def ask(self) -> None:
        """Ask the job, once, to save and end."""
        if self.asked is None:
            self.asked = time.monotonic()
            os.kill(self.pid, signal.SIGTERM)

    def kill(self) -> None:
        """End the job and everything that it started."""
        with suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)

    def over(self) -> bool:
        """Tell whether the job has ended, and see that one which was asked to end does."""
        if self.asked is not None and time.monotonic() - self.asked > GRACE:
            self.kill()
        # the process stays unreaped for now, so that its number cannot mean another group
        if os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
            return False
        self.kill()
        self.popen.communicate()
        return True

    def code(self) -> int:
        """Return the exit code; 128 + its number for a signal, as shells report it."""
        return self.popen.returncode if self.popen.returncode >= 0 else 128 - self.popen.returncode

    def news(self) -> str:
        """Return what the job has said since the last time."""
        new = self.said(self.shown)
        self.shown += len(new)
        return new.decode("utf-8", "replace")

    def said(self, since: int) -> bytes:
        """Return the log from a position on."""
        with self.log.open("rb") as file:
            file.seek(since)
            return file.read()

    def last(self, count: int) -> list[str]:
        """Return the last lines of this attempt that are not empty."""
        lines = self.said(self.started)[-20_000:].decode("utf-8", "replace").splitlines()
        return [line for line in lines if line.strip()][-count:]


def cause(code: int, last: list[str]) -> str:
    """Say why a process that left no word of its own has ended."""
    if code > 128:
        name = next((known.name for known in signal.Signals if known == code - 128), f"signal {code - 128}")
        return f"killed by {name}{' (often: out of memory)' if name == 'SIGKILL' else ''}"
    if code == 0:
        return "it ended without a result"
    return last[-1].strip() if last else "it said nothing"
