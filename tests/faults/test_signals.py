"""Signals: what is asked for happens soon, what is kept is whole, and what goes on ends with the same bits."""

import os
import pty
import signal
import sys
import time
from pathlib import Path

import harness
import pytest
from harness import aim, assert_same, assert_tidy, begin, finished, only_run, wait

from dlcli import cli
from dlcli.engine.loop import Engine
from dlcli.engine.signals import hold_back
from dlcli.engine.store import Store


@pytest.fixture(autouse=True)
def _hangups_are_heard():
    """Under nohup they are not, and a process that is started inherits that."""
    former = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, former)


def send(*numbers):
    """Return an act that sends signals to the own process."""

    def act():
        for number in numbers:
            os.kill(os.getpid(), number)

    return act


@pytest.mark.parametrize(
    ("point", "count", "step"),
    [("before step", 3, 3), ("before validation", 3, 12), ("before save", 3, 10), ("before fsync", 5, 1)],
)
@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130), (signal.SIGHUP, 129)], ids=["term", "int", "hup"]
)
def test_a_signal_ends_the_run_after_the_step_and_loses_none(warm, tmp_path, number, code, point, count, step):
    """F21, F22, F23, F26: in a step, in validation, in a save."""
    config, unbroken = warm
    assert wait(begin(config, tmp_path, aim(point, count, send(number)))) == code
    run = only_run(tmp_path)
    said = (tmp_path / "said.txt").read_text()
    assert f"stopped after step {step}; everything is saved" in said
    assert harness.step(run) == step
    assert not list(run.rglob("*.tmp-*"))
    assert_same(finished(config, tmp_path), unbroken)


@pytest.mark.parametrize(("act", "step"), [("learn", 8), ("measure", 6)])
def test_the_second_ctrl_c_leaves_at_once(warm, tmp_path, act, step):
    """F22: although a step or a validation takes for ever."""
    config, unbroken = warm

    def trap():
        real = getattr(Engine, act)

        def endless(self, *arguments):
            if self.clock.step == step:
                Path("reached").touch()
                time.sleep(60)
            return real(self, *arguments)

        setattr(Engine, act, endless)

    child = begin(config, tmp_path, trap)
    end = time.monotonic() + 30
    while not Path("reached").exists() and time.monotonic() < end:
        time.sleep(0.01)
    began = time.monotonic()
    os.kill(child, signal.SIGINT)
    time.sleep(0.1)
    os.kill(child, signal.SIGINT)
    assert wait(child) == 130
    assert time.monotonic() - began < 1.5
    said = (tmp_path / "said.txt").read_text()
    assert "left at once; step 5 is saved. Go on with\ndl train resume=" in said
    assert "Traceback" not in said
    assert harness.step(only_run(tmp_path)) == 5
    assert_same(finished(config, tmp_path), unbroken)


@pytest.mark.parametrize("point", ["before write", "before rename", "before folder sync", "before manifest line"])
def test_two_signals_within_a_save_leave_it_whole_or_not_at_all(warm, tmp_path, point):
    """F22, F23."""
    config, unbroken = warm
    wait(begin(config, tmp_path, aim(point, 3, send(signal.SIGINT, signal.SIGINT))))
    assert_same(finished(config, tmp_path), unbroken)
    assert_tidy(only_run(tmp_path))


def test_usr1_saves_and_the_run_goes_on(warm, tmp_path):
    """F24."""
    config, unbroken = warm
    config = config.copy()
    config.save.steps, config.save.keep = None, 5
    assert wait(begin(config, tmp_path, aim("before step", 8, send(signal.SIGUSR1)))) == 0
    run = only_run(tmp_path)
    assert Store(run / "checkpoints").listed() == [f"step-{step}.safetensors" for step in (0, 8, 24)]
    assert_same(run, unbroken)


def test_usr1_before_the_first_step_is_heard_at_it(warm, tmp_path):
    """F24: while modules and data are loaded it waits."""
    config, unbroken = warm
    config = config.copy()
    config.save.steps, config.save.keep = None, 5

    def early():
        hold_back()
        os.kill(os.getpid(), signal.SIGUSR1)

    assert wait(begin(config, tmp_path, early)) == 0
    run = only_run(tmp_path)
    assert Store(run / "checkpoints").listed() == [f"step-{step}.safetensors" for step in (0, 1, 24)]
    assert_same(run, unbroken)


def test_a_training_holds_usr1_back_from_the_beginning(dl):
    masked = signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGUSR1})
    assert dl("train", "--dry-run")[0] == 0
    assert signal.SIGUSR1 in signal.pthread_sigmask(signal.SIG_SETMASK, masked)


@pytest.mark.parametrize("number", [signal.SIGUSR1, signal.SIGTERM])
@pytest.mark.parametrize("point", ["before finish", "after finish"])
def test_a_signal_after_the_last_step_changes_nothing(warm, tmp_path, number, point):
    """F24, F21: everything is saved; what is left to do is done."""
    config, unbroken = warm
    assert wait(begin(config, tmp_path, aim(point, 1, send(number)))) == 0
    assert_same(only_run(tmp_path), unbroken)


def test_nobody_reads_any_more(warm, tmp_path):
    """F26: `dl train | head` trains on, without a traceback."""
    config, unbroken = warm
    reader, writer = os.pipe()

    def trap():
        os.dup2(writer, 1)
        os.close(writer)
        os.close(reader)

    child = begin(config, tmp_path, trap)
    os.close(writer)
    os.close(reader)
    assert wait(child) == 0
    assert not (tmp_path / "said.txt").read_text()
    assert_same(only_run(tmp_path), unbroken)


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")  # of threads, of which none holds a lock here
def test_the_terminal_is_closed(warm, monkeypatch, tmp_path):
    """F26, F25: the system sends SIGHUP and refuses every word; the state is saved, and no process stays."""
    words = ["train", "model=mlp", "data=iris", "batch=16", "epochs=100000"]
    monkeypatch.setattr(sys, "argv", ["dl", *words])
    child, terminal = pty.fork()  # the child leads a session of its own, and the terminal is its own
    if child == 0:
        sys.stdout = sys.stderr = os.fdopen(1, "w", closefd=False)
        try:
            cli.main()
        except SystemExit as leave:
            os._exit(leave.code)
        finally:
            os._exit(99)
    shown = b""
    while b"epoch" not in shown:
        shown += os.read(terminal, 10_000)
    os.close(terminal)
    assert wait(child) == 129
    (run,) = tmp_path.glob("outputs/*/*")
    assert '"interrupted"' in (run / "status.json").read_text()
    assert harness.step(run) > 0
    with pytest.raises(ProcessLookupError):
        os.killpg(child, 0)
