"""Run the jobs of a sweep, so many at a time; show each failure when it happens and go on with the rest."""

import os
import signal
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from types import FrameType

from dlcli import child
from dlcli.errors import StorageError
from dlcli.sweep.ledger import Ledger, Row
from dlcli.sweep.process import Process, cause
from dlcli.text import printable

PAUSE = 0.05  # seconds between two looks at the jobs
Command = Callable[[Ledger, int, list[str]], list[str]]


def command(ledger: Ledger, number: int, words: list[str]) -> list[str]:
    """Return the command line of a job."""
    return child.command("dlcli.job", str(ledger.folder), str(number), *words)


class Pool:
    """The jobs of a sweep that run side by side."""

    def __init__(self, ledger: Ledger, jobs: int, minutes: float | None, command: Command = command):
        self.ledger, self.jobs, self.minutes, self.command = ledger, jobs, minutes, command
        self.full = False  # the disk

    def run(self, numbers: Sequence[int]) -> None:
        """Run queued jobs to their end. Raises StorageError once the disk is full, and KeyboardInterrupt as asked."""
        waiting, running = deque(numbers), list[Process]()
        try:
            while running or (waiting and not self.full):
                while waiting and len(running) < self.jobs and not self.full:
                    running.append(self.begin(waiting.popleft()))
                time.sleep(PAUSE)
                running = [job for job in running if not self.ended(job)]
        except BaseException:
            self.stop(running)
            raise
        if self.full:
            raise StorageError(f"the disk is full; {len(waiting)} jobs did not start. Make room, and start it again")

    def begin(self, number: int) -> Process:
        """Start a job."""
        words = self.ledger.rows()[number]["overrides"]
        say(f"\njob {number}: {printable(' '.join(words))}")
        job = Process(
            number, self.command(self.ledger, number, words), self.ledger.log(number), surroundings(self.jobs)
        )
        self.ledger.note(number, "running", pid=job.pid)
        return job

    def ended(self, job: Process) -> bool:
        """Look after a job; tell whether it has ended."""
        if self.minutes and time.monotonic() - job.began > 60 * self.minutes:
            job.late = True
            job.ask()
        over = job.over()
        if self.jobs == 1:
            say(job.news(), end="")
        if over:
            self.conclude(job, self.ledger.rows()[job.number])
        return over

    def conclude(self, job: Process, row: Row) -> None:
        """Write down what the job could not, and say how it ended."""
        if row["state"] == "running" and job.asked and not job.late:
            self.ledger.note(job.number, "interrupted")
        elif row["state"] == "running" or (row["state"] == "interrupted" and job.late):
            error = f"it took longer than sweep.time={self.minutes}" if job.late else cause(job.code(), job.last(1))
            self.ledger.note(job.number, "failed", code=job.code(), error=error)
        row = self.ledger.rows()[job.number]
        if row["state"] == "failed":
            self.full |= row.get("code") == StorageError.code
            shown = [] if self.jobs == 1 else job.last(8)
            say(f"job {job.number} failed, exit code {row.get('code')}: {printable(row.get('error'))}")
            say("\n".join([*(f"    {printable(line)}" for line in shown), f"    see {job.log}"]))
        elif self.jobs > 1:
            say(f"job {job.number} {row['state']}")

    def stop(self, running: list[Process]) -> None:
        """Ask all jobs to save and end, and see that they do; another Ctrl-C meanwhile ends them at once."""
        try:
            for job in running:
                job.ask()
            while running:
                running = [job for job in running if not self.ended(job)]
                time.sleep(PAUSE)
        finally:
            for job in running:
                job.kill()


def say(text: str, end: str = "\n") -> None:
    """Print at once; a sweep goes on although nobody reads any more."""
    with suppress(BrokenPipeError):
        print(text, end=end, flush=True)


def surroundings(jobs: int) -> dict[str, str]:
    """Return the environment of a job: jobs that run side by side share out the cores, unless the user did."""
    threads = {"OMP_NUM_THREADS": str(max(1, len(os.sched_getaffinity(0)) // jobs))} if jobs > 1 else {}
    return threads | os.environ | {"PYTHONUNBUFFERED": "1"}


@contextmanager
def interruptible() -> Iterator[None]:
    """Let SIGTERM and SIGHUP end a sweep as orderly as Ctrl-C does; the exit code is that of the signal."""

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt(128 + number)

    heard = [number for number in (signal.SIGTERM, signal.SIGHUP) if signal.getsignal(number) != signal.SIG_IGN]
    before = {number: signal.signal(number, interrupt) for number in heard}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
