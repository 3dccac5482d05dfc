"""The disk fails: at the N-th operation for every N, until a save passes; or has no room to begin with."""

import errno
import os
import re
import types

import harness
import pytest
import torch
from harness import assert_same, begin, finished, only_run, wait

from dlcli import disk
from dlcli.engine import store
from dlcli.engine.store import Store
from dlcli.errors import StorageError
from dlcli.lock import held
from dlcli.verbs import train as training

FULL, BROKEN, READ_ONLY, QUOTA = errno.ENOSPC, errno.EIO, errno.EROFS, errno.EDQUOT
CALLS = ("open", "write", "fsync", "close", "replace", "fdopen")


class Failing:
    """Stands in for `os`: the N-th call fails, and from then on all or none; a full disk takes half of the bytes."""

    def __init__(self, number: int, code: int, lasting: bool):
        self.left, self.code, self.lasting, self.struck = number, code, lasting, False

    def __getattr__(self, name):
        return self.failing(getattr(os, name)) if name in CALLS else getattr(os, name)

    def failing(self, real):
        def call(*arguments, **more):
            self.left -= 1
            if self.left == 0 or (self.lasting and self.left < 0):
                self.struck = True
                if real is os.write and len(arguments[1]) > 1:
                    os.write(arguments[0], arguments[1][: len(arguments[1]) // 2])
                if real is os.close:
                    os.close(*arguments)
                raise OSError(self.code, os.strerror(self.code))
            return real(*arguments, **more)

        return call


def numbers(step):
    """Return a small state that tells which it is."""
    return {"a": torch.full((8,), float(step))}, {"number": step}


def outcome(act):
    """Return what a StorageError says; any other error passes."""
    try:
        act()
    except StorageError as error:
        return str(error)
    return ""


@pytest.mark.parametrize("lasting", [False, True])
@pytest.mark.parametrize("code", [FULL, BROKEN, READ_ONLY, QUOTA])
def test_a_save_that_fails_anywhere_loses_nothing(tmp_path, monkeypatch, code, lasting):
    """F28, F29, F30: whatever fails, the former state stands, the error is one line, and the next save works."""
    monkeypatch.setattr(store, "LINES", 1)  # so that the manifest is rewritten, too
    number = struck = 0
    while True:
        number += 1
        folder = tmp_path / str(number)
        folder.mkdir()
        saver = Store(folder)
        for step in (1, 2):
            saver.save(step, *numbers(step))
        failing = Failing(number, code, lasting)
        monkeypatch.setattr(disk, "os", failing)
        said = outcome(lambda saver=saver: saver.save(3, *numbers(3)))
        assert said == "" or (os.strerror(code) in said and "\n" not in said)
        monkeypatch.setattr(disk, "os", os)
        tensors, plain = Store(folder).newest()
        assert plain["number"] in (2, 3)
        assert tensors["a"].eq(plain["number"]).all()
        saver.save(4, *numbers(4))
        assert Store(folder).newest()[1]["number"] == 4
        if not failing.struck:
            break
        struck += 1
    assert struck > 10
    print(f"{os.strerror(code)}: {struck} operations failed one after another, nothing lost")


@pytest.mark.parametrize("code", [FULL, BROKEN])
def test_a_disk_that_fails_while_reading_damages_nothing(tmp_path, monkeypatch, code):
    """F29: what cannot be read now is not set aside; an older state serves."""
    for number in range(1, 20):
        folder = tmp_path / str(number)
        folder.mkdir()
        for step in (1, 2):
            Store(folder).save(step, *numbers(step))
        failing = Failing(number, code, lasting=False)
        monkeypatch.setattr(disk, "os", failing)
        assert Store(folder, say=str).newest(repair=True)[1]["number"] in (1, 2)
        monkeypatch.setattr(disk, "os", os)
        assert Store(folder).newest()[1]["number"] == 2
        assert not list(folder.glob("*.corrupt"))
        if not failing.struck:
            return
    raise AssertionError("never got through")


@pytest.mark.parametrize("number", [1, 8, 30, 60])
def test_a_run_on_a_full_disk_ends_with_7_and_goes_on_later(warm, tmp_path, number):
    """F28: at the first save, at a later one, within one."""
    config, unbroken = warm

    def trap():
        disk.os = Failing(number, FULL, lasting=True)

    assert wait(begin(config, tmp_path, trap)) == 7
    said = (tmp_path / "said.txt").read_text()
    assert "Traceback" not in said
    assert "No space left on device" in said
    if run := only_run(tmp_path):
        assert harness.step(run) >= 0
        assert_same(finished(config, tmp_path), unbroken)


def test_a_disk_without_room_is_found_before_the_first_step(warm, tmp_path):
    """F27: with the bytes needed and free; one byte less than needed is too few."""
    config, unbroken = warm

    def leave(room):
        usage = types.SimpleNamespace(total=10**9, free=room)
        return lambda: setattr(disk, "shutil", types.SimpleNamespace(disk_usage=lambda folder: usage))

    assert wait(begin(config, tmp_path, leave(8 * 2**10))) == 7
    said = (tmp_path / "said.txt").read_text()
    needed = int(re.search(r"some ([\d,]+) bytes needed for 2 checkpoints, 8,192 free", said)[1].replace(",", ""))
    (run,) = tmp_path.glob("*/*/run.json")
    assert not list(run.parent.glob("checkpoints/*"))
    assert wait(begin(config, tmp_path, leave(needed - 1))) == 7
    assert wait(begin(config, tmp_path, leave(needed))) == 0
    assert_same(only_run(tmp_path), unbroken)


def test_systems_that_do_not_say_what_is_free_are_believed(tmp_path, monkeypatch):
    """F27: some network disks report zeros."""
    nothing = types.SimpleNamespace(total=0, free=0)
    monkeypatch.setattr(disk.shutil, "disk_usage", lambda folder: nothing)
    Store(tmp_path).save(1, *numbers(1))
    assert Store(tmp_path).newest()[1]["number"] == 1


@pytest.mark.parametrize("number", [1, 2, 6, 12])
def test_a_disk_that_is_full_at_the_very_end_ends_with_7_and_the_end_is_made_later(warm, tmp_path, number):
    """F28: the training is over; best weights, report and status are written when there is room again."""
    config, unbroken = warm

    def trap():
        real = training.finish

        def finish(*arguments):
            disk.os = Failing(number, FULL, lasting=True)
            return real(*arguments)

        training.finish = finish

    assert wait(begin(config, tmp_path, trap)) == 7
    said = (tmp_path / "said.txt").read_text()
    assert "Traceback" not in said
    assert "cannot be written (No space left on device)" in said
    run = only_run(tmp_path)
    assert harness.step(run) == harness.STEPS
    assert not (run / "report.json").exists()
    assert_same(finished(config, tmp_path), unbroken)


@pytest.mark.parametrize("code", [READ_ONLY, QUOTA, errno.EACCES])
def test_a_folder_that_cannot_be_locked_ends_with_7(tmp_path, monkeypatch, code):
    """F30."""
    from dlcli import lock

    refusing = types.SimpleNamespace(**vars(os))
    refusing.open = Failing(1, code, lasting=True).failing(os.open)
    monkeypatch.setattr(lock, "os", refusing)
    with pytest.raises(StorageError, match="cannot be written"), held(tmp_path):
        pass


def test_a_pipe_in_the_place_of_a_file_is_an_error_and_no_wait(tmp_path):
    """A manifest that somebody made a pipe: nobody would ever read what is written into it."""
    os.mkfifo(tmp_path / "manifest.jsonl")
    with pytest.raises(OSError, match="No such device"):
        disk.append(tmp_path / "manifest.jsonl", "{}")
