"""Files that were damaged, lost or put there by others: noticed every time, and an older state serves."""

import os
import random
import threading
import time
from pathlib import Path

import pytest
import torch
from harness import aim, assert_same, begin, finished, only_run, wait

from dlcli import disk
from dlcli.engine import checkpoint, store
from dlcli.engine.store import Store
from dlcli.errors import CheckpointError


def numbers(step):
    """Return a small state that tells which it is."""
    return {"a": torch.full((64,), float(step)), "b": torch.arange(3)}, {"number": step, "text": "x" * 50}


def filled(folder, *steps, keep=2):
    """Return a store that has saved some states."""
    folder.mkdir(exist_ok=True)
    made = Store(folder, keep, say=str)
    for step in steps:
        made.save(step, *numbers(step))
    return made


def number(made, **more):
    """Return which state is the newest that holds."""
    return made.newest(**more)[1]["number"]


def test_every_flip_is_noticed(tmp_path):
    """F15: 200 bytes of the newest file, one at a time."""
    made = filled(tmp_path, 1, 2)
    path, drawn = tmp_path / "step-2.safetensors", random.Random(0)
    whole = path.read_bytes()
    for _ in range(200):
        place, bit = drawn.randrange(len(whole)), 1 << drawn.randrange(8)
        path.write_bytes(whole[:place] + bytes([whole[place] ^ bit]) + whole[place + 1 :])
        assert number(made) == 1, f"bit {bit} of byte {place}"
    path.write_bytes(whole)
    assert number(made) == 2


def test_every_truncation_is_noticed_and_set_aside(tmp_path):
    """F14."""
    whole = (filled(tmp_path / "a", 1, 2).folder / "step-2.safetensors").read_bytes()
    for size in (0, 1, 8, len(whole) // 2, len(whole) - 1):
        said = []
        made = filled(tmp_path / str(size), 1, 2)
        made.say = said.append
        (made.folder / "step-2.safetensors").write_bytes(whole[:size])
        assert number(made, repair=True) == 1
        assert (made.folder / "step-2.safetensors.corrupt").read_bytes() == whole[:size]
        assert "damaged" in said[0]
        made.save(3, *numbers(3))
        assert number(made) == 3
        assert (made.folder / "step-1.safetensors").exists()  # a damaged one does not count among those that stay


@pytest.mark.parametrize("damage", [b"", b"\0" * 5000, None], ids=["empty", "zeros", "gone"])
def test_a_run_without_a_whole_checkpoint_ends_with_5(warm, tmp_path, damage):
    """F16: it never begins at step 0 instead."""
    config, _ = warm
    assert wait(begin(config, tmp_path, aim("before step", 8))) == -9
    run = only_run(tmp_path)
    for path in run.glob("checkpoints/step-*"):
        path.unlink() if damage is None else path.write_bytes(damage)
    assert wait(begin(config, tmp_path)) == 5
    assert "no checkpoint holds" in (tmp_path / "said.txt").read_text()
    assert "Traceback" not in (tmp_path / "said.txt").read_text()


def test_a_run_whose_newest_checkpoint_is_damaged_goes_on_from_the_former_to_the_same_bits(warm, tmp_path):
    """F14."""
    config, unbroken = warm
    assert wait(begin(config, tmp_path, aim("before step", 14))) == -9
    run = only_run(tmp_path)
    path = run / "checkpoints/step-10.safetensors"
    path.write_bytes(path.read_bytes()[:-1])
    assert_same(finished(config, tmp_path), unbroken)
    assert "an older one serves" in (tmp_path / "said.txt").read_text()
    assert path.with_name("step-10.safetensors.corrupt").exists()


@pytest.mark.parametrize(
    "part", ["clock", "position", "pieces", "traces", "optimizers", "scaler", "schedule", "best", "random"]
)
def test_a_part_that_is_missing_is_named(warm, tmp_path, part):
    """F13: never silently fresh."""
    lose(warm, tmp_path, lambda tensors, plain: plain.pop(part), part)


@pytest.mark.parametrize("part", ["model/", "average/", "best/", "optimizer/", "random/cpu"])
def test_tensors_that_are_missing_are_named(warm, tmp_path, part):
    """F13."""

    def remove(tensors, plain):
        for name in [name for name in tensors if name.startswith(part)]:
            del tensors[name]

    lose(warm, tmp_path, remove, "")


def lose(warm, tmp_path, remove, named):
    """Take a part away from the checkpoints of a killed run, sign them anew, and see the run refused."""
    config, _ = warm
    assert wait(begin(config, tmp_path, aim("before step", 14))) == -9
    for path in only_run(tmp_path).glob("checkpoints/step-*"):
        tensors, plain = checkpoint.decode(path.read_bytes(), path)
        remove(tensors, plain)
        path.write_bytes(checkpoint.encode(tensors, plain))
    assert wait(begin(config, tmp_path)) == 5, (tmp_path / "said.txt").read_text()
    assert named in (tmp_path / "said.txt").read_text()


@pytest.mark.parametrize("cut", range(1, 35, 3))
def test_a_manifest_that_is_torn_serves_up_to_its_last_whole_line(tmp_path, cut):
    """F17."""
    made = filled(tmp_path, 1, 2)
    made.manifest.write_bytes(made.manifest.read_bytes()[:-cut])
    assert number(made) in (1, 2)
    made.save(3, *numbers(3))
    assert number(made) == 3


@pytest.mark.parametrize("content", [None, b"", b"\0" * 100, b"{}\n[]\n5\n", b'{"file": "../x"}', b"[" * 100_000])
def test_a_manifest_that_is_lost_is_made_anew(tmp_path, content):
    """F17."""
    made = filled(tmp_path, 9, 10)
    made.manifest.unlink() if content is None else made.manifest.write_bytes(content)
    assert number(made) == 10
    assert number(made, repair=True) == 10
    made.save(11, *numbers(11))
    assert made.listed() == [f"step-{step}.safetensors" for step in (9, 10, 11)]
    assert not (tmp_path / "step-9.safetensors").exists()


def test_a_manifest_that_lists_what_is_gone(tmp_path):
    """F17."""
    made = filled(tmp_path, 1, 2)
    (tmp_path / "step-2.safetensors").unlink()
    assert number(made, repair=True) == 1


def test_neither_names_nor_times_decide_what_is_new(tmp_path):
    """F18, F34: 50 saves with scrambled times, steps that go back, a clock that goes back."""
    drawn = random.Random(0)
    steps = drawn.sample(range(10**6), 50)
    made = filled(tmp_path, keep=3)
    for count, step in enumerate(steps, 1):
        made.save(step, *numbers(step))
        for path in tmp_path.iterdir():
            moment = drawn.uniform(0, 2e9)
            os.utime(path, (moment, moment))
        there = {f"step-{kept}.safetensors" for kept in steps[max(0, count - 3) : count]}
        assert {path.name for path in tmp_path.glob("step-*")} == there
        assert number(made) == step


def test_a_clock_set_back_between_kill_and_resume(warm, tmp_path):
    """F34."""
    import time

    config, unbroken = warm
    assert wait(begin(config, tmp_path, aim("before step", 8))) == -9
    real = time.time

    def trap():
        time.time = lambda: real() - 86400

    assert wait(begin(config, tmp_path, trap)) == 0
    assert_same(only_run(tmp_path), unbroken)


def test_files_of_others_are_neither_chosen_nor_touched(tmp_path):
    """F19."""
    made = filled(tmp_path, 1)
    foreign = {
        "step-99999.safetensors": checkpoint.encode(*numbers(99999)),
        "notes.txt": b"mine",
        "step-3.pt": b"",
        "step-4.safetensors.bak": b"4",
        "draft.tmp-old": b"mine too",
    }
    for name, content in foreign.items():
        (tmp_path / name).write_bytes(content)
    for step in range(2, 6):
        made.save(step, *numbers(step))
        assert number(made, repair=True) == step
    store.disk.sweep(tmp_path)
    assert foreign == {name: (tmp_path / name).read_bytes() for name in foreign}


def test_what_cannot_be_removed_is_told_and_tried_again(tmp_path, monkeypatch):
    """F20."""
    said = []
    made = filled(tmp_path, 1, 2)
    made.say = said.append
    real = Path.unlink

    def refused(path, missing_ok=False):
        if path.suffix == ".safetensors":
            raise PermissionError(13, "Permission denied", str(path))
        real(path, missing_ok=missing_ok)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "unlink", refused)
        made.save(3, *numbers(3))
    assert said == ["warning: step-1.safetensors: too old, but cannot be removed (Permission denied)"]
    assert (tmp_path / "step-1.safetensors").exists()
    assert Path.unlink is real
    made.save(4, *numbers(4))
    assert {path.name for path in tmp_path.glob("step-*")} == {"step-3.safetensors", "step-4.safetensors"}


def test_a_thousand_saves_leave_no_more_than_two(tmp_path, monkeypatch):
    """F36: files, open handles and the manifest stay small."""
    monkeypatch.setattr(store, "LINES", 100)
    made = filled(tmp_path)
    made.save(0, *numbers(0))
    handles = len(os.listdir("/proc/self/fd")) if Path("/proc/self/fd").exists() else 0
    for step in range(1, 1000):
        made.save(step, *numbers(step))
    assert {path.name for path in tmp_path.iterdir()} == {
        "manifest.jsonl",
        "step-998.safetensors",
        "step-999.safetensors",
    }
    assert len(made.listed()) <= 101
    assert handles == (len(os.listdir("/proc/self/fd")) if handles else 0)
    assert number(made) == 999


def test_readers_always_find_a_whole_state_while_another_saves(tmp_path):
    """F38: 300 opens without a lock."""
    made = filled(tmp_path, 0)
    done = threading.Event()

    def save():
        step = 0
        while not done.is_set():
            step += 1
            made.save(step, *numbers(step))

    saver = threading.Thread(target=save)
    saver.start()
    try:
        seen = []
        limit = time.monotonic() + 60  # a busy machine lets the saver wait
        while len(seen) < 300 or (seen[-1] <= 5 and time.monotonic() < limit):
            tensors, plain = Store(tmp_path, say=pytest.fail).newest()
            assert tensors["a"].eq(plain["number"]).all()
            seen.append(plain["number"])
    finally:
        done.set()
        saver.join()
    assert seen == sorted(seen)
    assert seen[-1] > 5


def test_a_reader_that_is_overtaken_reads_again(tmp_path, monkeypatch):
    """F38: all that it knew was removed before it could open it."""
    made = filled(tmp_path, 1, 2)
    real, overtaken = Store.names, []

    def names(self, repair=False):
        known = real(self, repair)
        if not overtaken:
            overtaken.append(True)
            filled(tmp_path, 3, 4)
        return known

    monkeypatch.setattr(Store, "names", names)
    assert number(made) == 4


def test_a_state_that_could_not_be_read_again_is_refused_before_it_is_kept(tmp_path):
    """A header is read up to 4 MiB; one of so many tensors, or of so much plain data, is longer."""
    made = filled(tmp_path / "a", 1)
    for tensors, plain in (({f"{i:099}": torch.zeros(0) for i in range(30_000)}, {}), ({}, {"text": "x" * 2**22})):
        with pytest.raises(CheckpointError, match=r"header of [4-9],\d+,\d+ bytes, more than 4,194,304.*fewer"):
            made.save(2, tensors, plain)
    assert number(made) == 1


def test_a_file_longer_than_its_header_says_is_not_read(tmp_path, monkeypatch):
    """S07: gigabytes of nothing, which take no room on the disk but all of the memory."""
    made = filled(tmp_path / "a", 1, 2)
    path = made.folder / "step-2.safetensors"
    whole = path.read_bytes()
    real, seen = disk.read, []
    monkeypatch.setattr(disk, "read", lambda path: (seen.append(path.name), real(path))[1])
    for content in (b"", whole):
        path.write_bytes(content)
        with path.open("r+b") as file:
            file.truncate(3 * 10**9)
        assert number(made) == 1
    assert "step-2.safetensors" not in seen
