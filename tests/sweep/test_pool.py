"""Jobs that die in every way: each is noted, the others go on, and nothing outlives the sweep."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from dlcli.errors import Interrupted, StorageError, SweepError
from dlcli.sweep import process
from dlcli.sweep.ledger import Ledger, alive
from dlcli.sweep.pool import Pool, interruptible, surroundings
from dlcli.sweep.summary import show, verdict

GOOD = "from pathlib import Path; from dlcli.sweep.ledger import Ledger; import os, sys, time, signal\n"
GOOD += "told = dict(scores=dict(loss=0.5), monitor='loss', rising=False)\n"
GOOD += "done = lambda: Ledger(Path({folder!r})).note({number}, 'done', **told)\n"
CHILD = "import subprocess; p = subprocess.Popen(['sleep', '60']); open('pid', 'w').write(str(p.pid))\n"


def pool(folder: Path, deeds: list[str], jobs: int = 2, minutes: float | None = None) -> tuple[Ledger, Pool, list[int]]:
    """Return a pool whose jobs run these pieces of Python."""
    ledger = Ledger(folder)

    def command(ledger: Ledger, number: int, words: list[str]) -> list[str]:
        return [sys.executable, "-c", GOOD.format(folder=str(folder), number=number) + deeds[number]]

    return ledger, Pool(ledger, jobs, minutes, command), ledger.enlist([[f"a={i}"] for i in range(len(deeds))])


def test_every_way_to_die_is_told_and_the_others_finish(tmp_path, capfd):
    """C01, C02, C03: an exception, sys.exit, os._exit, a segfault, an OOM kill."""
    deeds = [
        "done()",
        "raise ValueError('of job 1')",
        "sys.exit(0)",
        "os._exit(3)",
        "os.kill(os.getpid(), signal.SIGSEGV)",
        "os.kill(os.getpid(), signal.SIGKILL)",
        "print('deep in job 6'); sys.exit(5)",
        "done()",
    ]
    ledger, runner, numbers = pool(tmp_path, deeds)
    runner.run(numbers)
    shown = capfd.readouterr().out
    assert "    deep in job 6" in shown
    assert f"see {tmp_path}/job-6.log" in shown
    rows = ledger.rows()
    assert [rows[i]["state"] for i in numbers] == ["done", *["failed"] * 6, "done"]
    assert [rows[i]["code"] for i in range(1, 7)] == [1, 0, 3, 139, 137, 5]
    with pytest.raises(SweepError) as summary:
        verdict(ledger)
    told = str(summary.value)
    assert summary.value.code == 11
    assert told.startswith("6 of 8 jobs failed")
    causes = ("ValueError: of job 1", "without a result", "it said nothing", "SIGSEGV", "SIGKILL", "deep in job 6")
    for number, what in enumerate(causes, 1):
        line = next(line for line in told.splitlines() if f"job {number} (a={number})" in line)
        assert what in line
        assert f"job-{number}.log" in told


def test_a_job_that_hangs_is_ended_with_all_that_it_started(tmp_path, monkeypatch):
    """C02: a job that takes too long and does not listen."""
    monkeypatch.setattr(process, "GRACE", 0.3)
    hang = "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n" + CHILD + "time.sleep(60)"
    ledger, runner, numbers = pool(tmp_path, [hang, "done()"], minutes=0.02)
    began = time.monotonic()
    runner.run(numbers)
    assert time.monotonic() - began < 10
    assert ledger.rows()[0]["error"] == "it took longer than sweep.time=0.02"
    assert ledger.rows()[1]["state"] == "done"
    assert gone(int((tmp_path / "pid").read_text()))


def test_what_a_finished_job_left_running_is_ended(tmp_path):
    _, runner, numbers = pool(tmp_path, [CHILD + "done()"])
    runner.run(numbers)
    assert gone(int((tmp_path / "pid").read_text()))


def test_a_full_disk_stops_the_sweep(tmp_path):
    """C14: jobs before are intact, jobs after do not start, exit code 7."""
    ledger, runner, numbers = pool(tmp_path, ["done()", "sys.exit(7)", "done()", "done()"], jobs=1)
    with pytest.raises(StorageError, match="2 jobs did not start") as full:
        runner.run(numbers)
    assert full.value.code == 7
    assert [row["state"] for row in ledger.rows().values()] == ["done", "failed", "queued", "queued"]


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, None), (signal.SIGTERM, 143)])
def test_an_interrupted_sweep_asks_its_jobs_and_keeps_the_rest_queued(tmp_path, number, code, capfd):
    """C04: running jobs save, the rest stays queued, the table is printed."""
    deeds = [
        "done()",
        "signal.signal(signal.SIGTERM, lambda *_: sys.exit(143)); print('ready'); time.sleep(60)",
        "done()",
    ]
    ledger, runner, numbers = pool(tmp_path, deeds, jobs=1)

    def interrupt() -> None:
        while not ledger.log(1).exists() or b"ready" not in ledger.log(1).read_bytes():
            time.sleep(0.02)
        os.kill(os.getpid(), number)

    threading.Thread(target=interrupt, daemon=True).start()
    with interruptible(), pytest.raises(KeyboardInterrupt) as stop:
        runner.run(numbers)
    assert (stop.value.args or (None,))[0] == code
    assert [row["state"] for row in ledger.rows().values()] == ["done", "interrupted", "queued"]
    show(ledger)
    assert "queued" in capfd.readouterr().out
    assert (tmp_path / "sweep.csv").read_text().count("\n") == 4
    with pytest.raises(Interrupted):
        verdict(ledger)
    runner.command = lambda *_: [sys.executable, "-c", GOOD.format(folder=str(tmp_path), number=_[1]) + "done()"]
    before = ledger.log(1).read_bytes()
    runner.run(ledger.enlist([[f"a={i}"] for i in range(3)]))
    assert [row["state"] for row in ledger.rows().values()] == ["done"] * 3
    assert ledger.log(1).read_bytes().startswith(before)
    verdict(ledger)


def test_a_job_ends_when_its_sweep_is_killed(tmp_path):
    """C06: no orphans, though the supervisor had no chance to end them."""
    code = "import threading, time; from dlcli.job import end_with_the_sweep as end; import signal\n"
    code += "signal.signal(signal.SIGTERM, lambda *_: None); threading.Thread(target=end, daemon=True).start()\n"
    code += "print('ready', flush=True)\nwhile True: time.sleep(1)"
    words = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "start_new_session": True}
    with subprocess.Popen([sys.executable, "-c", code], **words) as job:
        assert job.stdout.readline() == b"ready\n"
        job.stdin.close()  # which is what the system does when the supervisor dies
        began = time.monotonic()
        assert job.wait(timeout=10) == -signal.SIGKILL
        assert time.monotonic() - began < 2


def test_cores_are_shared_out_unless_the_user_did(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)))
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    assert surroundings(4)["OMP_NUM_THREADS"] == "2"
    assert surroundings(100)["OMP_NUM_THREADS"] == "1"
    assert "OMP_NUM_THREADS" not in surroundings(1)
    monkeypatch.setenv("OMP_NUM_THREADS", "5")
    assert surroundings(4)["OMP_NUM_THREADS"] == "5"


def gone(pid: int) -> bool:
    """Tell whether a process ends soon; one that nobody has reaped yet counts as ended."""
    for _ in range(500):  # ten seconds: what is promised is two, on a machine that has nothing else to do
        state = Path(f"/proc/{pid}/stat")
        if not alive(pid) or (state.exists() and state.read_text().rpartition(")")[2].split()[0] == "Z"):
            return True
        time.sleep(0.02)
    return False
