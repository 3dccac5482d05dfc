"""Whole sweeps with real jobs: killed, stopped and repeated; in parallel and one after another; drawn and searched."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from test_pool import gone

from dlcli.sweep.ledger import Ledger, alive

TINY = ("model=mlp", "data=xor", "batch=4", "model.net.widths=[4]")
BARE = ("model=linear", "data=polynomial", "batch=400")  # a step an epoch, and little to import and to draw


def ledgers() -> list[Ledger]:
    """Return the ledgers of all sweeps here."""
    return [Ledger(path.parent.absolute()) for path in sorted(Path("outputs/sweeps").glob("*/sweep.jsonl"))]


def weights(ledger: Ledger) -> list[bytes]:
    """Return the best weights of each job."""
    runs = [Path("outputs") / row["run"] for row in ledger.rows().values()]
    return [(run / "checkpoints/best.safetensors").read_bytes() for run in runs]


def begin(words: tuple[str, ...], job: int) -> tuple[subprocess.Popen, Ledger]:
    """Start a sweep and wait until a job has a checkpoint."""
    command = [sys.executable, "-m", "dlcli", "train", "-m", *words]
    sweep = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    end = time.monotonic() + 150  # a new process, on a machine that may be busy
    while time.monotonic() < end and sweep.poll() is None:
        for ledger in ledgers():
            row = ledger.rows().get(job, {})
            saved = row.get("state") == "running" and ledger.unfinished(job, Path("outputs"))
            if saved and alive(row["pid"]):
                return sweep, ledger
        time.sleep(0.02)
    sweep.kill()
    raise AssertionError(sweep.communicate())


def test_a_sweep_that_is_killed_and_stopped_goes_on_by_the_same_command_to_the_same_bits(dl):
    """C04, C05, C06, C11: kill the supervisor, then Ctrl-C, then finish; in parallel, as if nothing had been."""
    words = (*BARE, "epochs=60", "seed=1,2")
    sweep, ledger = begin(words, 0)
    run, pid = ledger.rows()[0]["run"], ledger.rows()[0]["pid"]
    sweep.kill()
    sweep.communicate()
    assert gone(pid)

    sweep, _ = begin(words, 0)
    code, _, err = dl("train", "-m", *words)
    assert code == 6, err
    assert f"in use by process {sweep.pid}" in err
    sweep.send_signal(signal.SIGINT)
    out, err = sweep.communicate(timeout=60)
    assert sweep.returncode == 130, err
    assert "the same command goes on" in err
    assert "interrupted" in out
    assert "queued" in out
    assert "Traceback" not in out + err
    assert [row["state"] for row in ledger.rows().values()] == ["interrupted", "queued"]

    code, out, err = dl("train", "-m", *words, "sweep.jobs=2")
    assert code == 0, err
    assert ledger.rows()[0]["run"] == run
    assert [row["state"] for row in ledger.rows().values()] == ["done", "done"]
    assert len(list(Path("outputs/linear-polynomial").iterdir())) == 2
    kept = weights(ledger), ledger.path.read_bytes()
    code, out, _ = dl("train", "-m", *words)
    assert code == 0
    assert "device" not in out  # nothing trained
    assert kept == (weights(ledger), ledger.path.read_bytes())

    code, _, err = dl("train", "-m", *words, "sweep.again=true", "hydra/launcher=basic")
    assert code == 0, err
    parallel, one_by_one = ledgers()
    assert weights(parallel) == weights(one_by_one)


def test_every_job_is_checked_before_the_first_starts(dl):
    """C12."""
    code, _, err = dl("train", "-m", *TINY, "batch=1,2,3,4,0,5")
    assert code == 2
    assert "batch=0: batch must be" in err
    code, _, err = dl("train", "-m", *TINY, "sweep=random", "optimizer.lr=interval(-1,1)")
    assert code == 2
    assert "optimizer.lr=-1.0" in err
    assert not Path("outputs").exists()


@pytest.mark.parametrize("spelled", ["--dry-run", "dry_run=true"])
@pytest.mark.parametrize("search", ["grid", "random"])
def test_a_dry_run_lists_the_jobs(dl, spelled, search):
    code, out, err = dl("train", "-m", *TINY, "seed=1,2", f"sweep={search}", "sweep.trials=2", spelled)
    assert code == 0, err
    assert "2 jobs would run" in out
    assert "  1: dl train model=mlp data=xor batch=4 'model.net.widths=[4]' seed=" in out
    assert not Path("outputs").exists()


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("sweep.jobs=0",), "whole number >= 1"),
        (("sweep.time=0",), "above 0"),
        (("sweep.jbs=2",), "did you mean sweep.jobs"),
        (("sweep=rndom",), "did you mean random"),
        (("sweep.jobs=1,2",), "one value only"),
        (("sweep=random",), "no key varies"),
        (("optimizer.lr=interval(0.1,0.2)",), "sweep=random and sweep=optuna draw from it"),
    ],
)
def test_faults_of_sweep_keys_are_config_errors(dl, words, says):
    code, _, err = dl("train", "-m", *TINY, *words)
    assert code == 2
    assert says in err
    assert not Path("outputs").exists()


def test_optuna_that_is_not_installed_is_named(dl, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    code, _, err = dl("train", "-m", *TINY, "sweep=optuna", "optimizer.lr=interval(0.1,0.2)")
    assert code == 2
    assert "pip install 'dlcli[optuna]'" in err


def test_optuna_goes_on_where_it_stopped_and_a_failed_job_is_a_failed_trial(dl):
    optuna = pytest.importorskip("optuna")
    words = (*BARE, "epochs=2", "optimizer=sgd", "optimizer.lr=1e-2,1e38", "sweep=optuna", "sweep.jobs=2")
    code, _, err = dl("train", "-m", *words, "sweep.trials=3", "hydra/launcher=basic")
    assert code in (0, 11), err
    (ledger,) = ledgers()
    code, _, err = dl("train", "-m", *words, "sweep.trials=4", "hydra/launcher=basic")
    storage = optuna.storages.JournalStorage(
        optuna.storages.journal.JournalFileBackend(str(ledger.folder / "optuna.log"))
    )
    trials = optuna.load_study(study_name="sweep", storage=storage).trials
    assert len(trials) == 4
    states = {trial.params["optimizer.lr"].partition("=")[2]: trial.state.name for trial in trials}
    told = {row["overrides"][-1].partition("=")[2]: row["state"] for row in ledger.rows().values()}
    assert {key: {"COMPLETE": "done", "FAIL": "failed"}[state] for key, state in states.items()} == told
    assert "failed" in told.values()


def test_a_launcher_of_others_skips_what_is_done_too(dl):
    words = (*BARE, "epochs=1", "seed=1,2", "hydra/launcher=basic")
    assert dl("train", "-m", *words)[0] == 0
    (ledger,) = ledgers()
    before = ledger.path.read_bytes()
    code, _, _ = dl("train", "-m", *words)
    assert code == 0
    assert ledger.path.read_bytes() == before
