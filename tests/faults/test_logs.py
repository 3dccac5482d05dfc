"""Logs on disks that fail, or that a crash has torn: they may never end a training, and hold no row twice."""

import errno
import os
import tracemalloc
from pathlib import Path

import pytest
from harness import assert_same, begin, only_run, wait

from dlcli.log import FOREVER, Log


def test_logs_on_a_full_disk_warn_once_and_the_training_goes_on(warm, tmp_path):
    """F31: neither the table nor TensorBoard may end a training; the checkpoints do not suffer."""
    config, unbroken = warm

    def full(*arguments, **more):
        raise OSError(errno.ENOSPC, "No space left on device")

    def trap():
        from torch.utils.tensorboard import SummaryWriter

        Log.add = SummaryWriter.add_scalar = full

    assert wait(begin(config, tmp_path, trap)) == 0, (tmp_path / "said.txt").read_text()
    said = (tmp_path / "said.txt").read_text()
    assert said.count("warning: scalars.csv cannot be written") == 1
    assert said.count("warning: TensorBoard cannot be written") == 1
    run = only_run(tmp_path)
    (run / "scalars.csv").write_bytes((unbroken / "scalars.csv").read_bytes())
    assert_same(run, unbroken)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
def test_a_table_on_a_device_that_is_always_full(tmp_path, capsys):
    """F31: the error of the real thing, from write, from flush and from close."""
    log = Log(tmp_path)
    log._file.close()
    log._file = open("/dev/full", "a", encoding="utf-8", newline="")  # noqa: SIM115
    for step in range(3):
        log.scalars({"loss": 1.0}, step)
    log.close()
    assert capsys.readouterr().out.count("warning: scalars.csv cannot be written") == 1


def test_a_table_that_a_crash_has_torn_keeps_its_whole_rows(tmp_path):
    """F31, F32: and the rows of the very step of the checkpoint do not come twice."""
    log = Log(tmp_path)
    for step in (1, 2):
        log.scalars({"loss": step / 3, "rate": 0.1}, step)
    log.close()
    with (tmp_path / "scalars.csv").open("a", newline="") as file:
        file.write("2,more,0.12")
    log = Log(tmp_path, resumed_at=2)
    log.scalars({"loss": 2 / 3, "rate": 0.1, "more": 0.1234}, 2)
    log.close()
    names = [(row["step"], row["name"], row["value"]) for row in log.rows()]
    assert names == [
        ("1", "loss", repr(1 / 3)),
        ("1", "rate", "0.1"),
        ("2", "loss", repr(2 / 3)),
        ("2", "rate", "0.1"),
        ("2", "more", "0.1234"),
    ]


def test_whoever_evaluates_a_run_in_training_takes_no_row_away(tmp_path):
    """F38: two processes add to one table."""
    training = Log(tmp_path)
    training.scalars({"loss": 1.0}, 1)
    other = Log(tmp_path, resumed_at=FOREVER)
    other.scalars({"test/loss": 2.0}, 1)
    training.scalars({"loss": 0.5}, 2)
    other.close()
    training.close()
    assert [row["value"] for row in training.rows()] == ["1.0", "2.0", "0.5"]


def test_whoever_evaluates_before_the_first_row_leaves_the_table_to_the_training(tmp_path):
    """F38: there is nothing to keep yet, and the training has the file open."""
    training = Log(tmp_path)
    other = Log(tmp_path, resumed_at=FOREVER)
    training.scalars({"loss": 1.0}, 1)
    other.scalars({"test/loss": 2.0}, 1)
    for log in (training, other):
        log.close()
    assert (tmp_path / "scalars.csv").read_text() == "step,name,value\n1,loss,1.0\n1,test/loss,2.0\n"


def test_a_torn_row_does_not_swallow_what_is_added(tmp_path):
    """F31: whoever evaluates a run that has died drops nothing, and loses nothing either."""
    (tmp_path / "scalars.csv").write_text("step,name,value\n1,loss,1.0\n2,lo")
    log = Log(tmp_path, resumed_at=FOREVER)
    log.scalars({"test/loss": 2.0}, 2)
    log.close()
    assert [row["value"] for row in log.rows()] == ["1.0", "2.0"]


@pytest.mark.parametrize(
    "make", [lambda path: path.symlink_to("victim"), os.mkfifo, os.mkdir], ids=["link", "pipe", "folder"]
)
def test_a_table_that_is_no_file_is_not_added_to(tmp_path, capsys, make):
    """S24: neither followed nor waited for."""
    make(tmp_path / "scalars.csv")
    log = Log(tmp_path, resumed_at=FOREVER)
    log.scalars({"test/loss": 2.0}, 2)
    log.close()
    assert capsys.readouterr().out.count("warning: scalars.csv cannot be written") == 1
    assert not (tmp_path / "victim").exists()


@pytest.mark.parametrize(("resumed_at", "most"), [(10**9, 6), (FOREVER, 1)])
def test_a_table_costs_a_few_times_its_size_or_nothing(tmp_path, resumed_at, most):
    """S09: a stranger's table may be large."""
    row = b"1,loss,1.0\r\n"
    size = (tmp_path / "scalars.csv").write_bytes(b"step,name,value\r\n" + 30_000 * row)
    tracemalloc.start()
    try:
        Log(tmp_path, resumed_at).close()
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < most * size
    assert (tmp_path / "scalars.csv").read_bytes().count(row) == 30_000
