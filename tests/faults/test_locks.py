"""One folder, one writer."""

import json
import os
import platform
import signal
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from harness import aim, assert_same, begin, finished, fork, only_run, wait

from dlcli.errors import RunError
from dlcli.lock import held
from dlcli.run import fresh


def test_no_two_runs_share_a_folder(tmp_path):
    """C07, C10: 200 at the same time; a folder that exists is never taken."""
    with ThreadPoolExecutor(16) as pool:
        assert len(set(pool.map(lambda _: fresh(tmp_path), range(200)))) == 200


def test_a_second_writer_is_refused_at_once(warm, tmp_path):
    """C08: it says who, where and since when, and the first one does not notice."""
    config, unbroken = warm
    first = begin(config, tmp_path, aim("before step", 8, lambda: time.sleep(2)))
    end = time.monotonic() + 30
    while not (only_run(tmp_path) and (only_run(tmp_path) / "lock").read_text()) and time.monotonic() < end:
        time.sleep(0.01)
    began = time.monotonic()
    assert wait(begin(config, tmp_path)) == 6
    assert time.monotonic() - began < 1
    said = (tmp_path / "said.txt").read_text()
    assert f"in use by process {first} on {platform.node()} since 20" in said
    assert wait(first) == 0
    assert_same(only_run(tmp_path), unbroken)


def test_the_lock_of_a_dead_process_is_taken_over(warm, tmp_path):
    """C09: the system knows that it is dead, even if its number is in use again."""
    config, unbroken = warm
    assert wait(begin(config, tmp_path, aim("before step", 8))) == -9
    run = only_run(tmp_path)
    note = json.loads((run / "lock").read_text())
    (run / "lock").write_text(json.dumps(note | {"pid": os.getpid()}))  # its number lives: it is ours now
    assert_same(finished(config, tmp_path), unbroken)
    assert not (run / "lock").read_text()


def test_the_note_of_another_machine_is_respected(tmp_path):
    """C09: nobody here can know whether that process lives; the cure is named."""
    (tmp_path / "lock").write_text(json.dumps({"pid": 1, "host": "elsewhere", "since": "2020-01-01 00:00:00"}))
    with pytest.raises(RunError, match=r"process 1 on elsewhere since 2020.*remove .*lock"), held(tmp_path):
        pass
    (tmp_path / "lock").unlink()
    with held(tmp_path):
        pass


@pytest.mark.parametrize("content", [b"", b"\0\0", b"{", b"[1]", b"x" * 10_000])
def test_a_note_that_was_torn_is_no_obstacle(tmp_path, content):
    """C09."""
    (tmp_path / "lock").write_bytes(content)
    with held(tmp_path), pytest.raises(RunError, match=f"process {os.getpid()}"), held(tmp_path):
        pass


def test_the_lock_goes_with_its_holder(tmp_path):
    """C09: however it dies."""

    def hold():
        with held(tmp_path):
            (tmp_path / "held").touch()
            time.sleep(60)

    child = fork(hold)
    while not (tmp_path / "held").exists():
        time.sleep(0.01)
    with pytest.raises(RunError, match=f"process {child}"), held(tmp_path):
        pass
    os.kill(child, signal.SIGKILL)
    wait(child)
    with held(tmp_path):
        pass
