"""The power fails: every content of the disk that POSIX allows then is built, and the run must be there in each."""

import hashlib
import os
import shutil
from pathlib import Path

import pytest
import recorder
import torch

from dlcli import disk
from dlcli.engine import store
from dlcli.engine.store import Store
from dlcli.errors import CheckpointError

SAVES = 5


def numbers(step):
    """Return a small state that tells which it is."""
    return {"a": torch.full((4,), float(step))}, {"number": step}


class Witness:
    """Looks at the disk after every operation, until recovery has lost something."""

    def __init__(self, folder: Path):
        self.disk, self.space = recorder.Disk(folder), folder.parent / "after the crash"
        self.returned = 0  # the last save that returned
        self.states = self.lost = 0
        self.seen: set[str] = set()

    def look(self) -> None:
        """Recover from every state that a crash may leave now."""
        for state in () if self.lost else self.disk.states():
            parts = (f"{name} {hashlib.sha256(state[name]).hexdigest()}" for name in sorted(state))
            key = " ".join([str(self.returned), *parts])
            if key in self.seen:
                continue
            self.seen.add(key)
            self.states += 1
            if not self.recovers(state):
                self.lost += 1
                return

    def recovers(self, state: dict[str, bytes]) -> bool:
        """Tell whether a state of the disk still holds the last save that returned, or a later one."""
        shutil.rmtree(self.space, ignore_errors=True)
        self.space.mkdir()
        for name, content in state.items():
            (self.space / name).write_bytes(content)
        disk.sweep(self.space)
        try:
            tensors, plain = Store(self.space, say=str).newest(repair=True)
        except CheckpointError:
            return self.returned == 0
        assert tensors["a"].eq(plain["number"]).all()
        return plain["number"] >= self.returned and not list(self.space.glob("*.tmp-*"))


def fail_everywhere(folder, monkeypatch) -> Witness:
    """Save a few times while the power fails after each operation."""
    folder.mkdir()
    witness = Witness(folder)
    own = witness.disk.stand_in()

    def watched(act):
        def wrapped(*arguments, **more):
            result = act(*arguments, **more)
            with monkeypatch.context() as patch:  # recovery is not recorded
                patch.setattr(disk, "os", os)
                patch.setattr(Path, "unlink", unlink)
                witness.look()
            return result

        return wrapped

    unlink = Path.unlink
    for name in ("open", "write", "fsync", "replace"):
        setattr(own, name, watched(getattr(own, name)))
    monkeypatch.setattr(disk, "os", own)
    monkeypatch.setattr(Path, "unlink", lambda path, missing_ok=False: watched(witness.disk.unlink)(path, missing_ok))
    saver = Store(folder)
    for number in range(1, SAVES + 1):
        saver.save(number, *numbers(number))
        witness.returned = number
    return witness


def test_no_power_failure_loses_a_save_that_returned(tmp_path, monkeypatch):
    """F03, F05: the temporary file lies beside its target."""
    witness = fail_everywhere(tmp_path / "run", monkeypatch)
    print(f"{witness.states} states of the disk after a crash; lost: {witness.lost}")
    assert witness.states > 1000
    assert witness.lost == 0


def test_no_power_failure_loses_a_save_while_the_manifest_is_shortened(tmp_path, monkeypatch):
    """F03, F36."""
    monkeypatch.setattr(store, "LINES", 2)
    assert fail_everywhere(tmp_path / "run", monkeypatch).lost == 0


def test_the_order_of_a_save(tmp_path, monkeypatch):
    """F04: the file is synced before its name, the name before the line, the line before anything is removed."""
    witness = recorder.Disk(tmp_path)
    monkeypatch.setattr(disk, "os", witness.stand_in())
    monkeypatch.setattr(Path, "unlink", lambda path, missing_ok=False: witness.unlink(path, missing_ok))
    saver = Store(tmp_path, keep=1)
    saver.save(1, *numbers(1))
    witness.operations.clear()
    saver.save(2, *numbers(2))
    assert witness.operations == [
        *("open temporary", "write", "sync file", "rename to state", "sync folder"),
        *("open manifest", "write", "sync file", "sync folder"),
        "remove state",
    ]


def no_sync_of_files(monkeypatch):
    """Forget to sync what was written."""
    real = disk.put

    def put(path, content, flags):
        own, disk.os.fsync = disk.os.fsync, lambda descriptor: None
        try:
            real(path, content, flags)
        finally:
            disk.os.fsync = own

    monkeypatch.setattr(disk, "put", put)


def no_sync_of_folders(monkeypatch):
    """Forget to sync the names."""
    monkeypatch.setattr(disk, "sync", lambda folder: None)


def in_place(monkeypatch):
    """Write without a temporary file, over whatever stands there."""
    monkeypatch.setattr(disk, "write", lambda path, content: disk.put(path, content, os.O_CREAT | os.O_TRUNC))
    monkeypatch.setattr(Store, "save", same_name)


def same_name(self, step, tensors, plain):
    """Keep one file, as `last` would be."""
    disk.write(self.folder / "step-1.safetensors", store.checkpoint.encode(tensors, plain))
    disk.append(self.manifest, '{"file": "step-1.safetensors"}')


def remove_first(monkeypatch):
    """Make room before the new state is there."""
    real = Store.save

    def save(self, step, tensors, plain):
        for path in sorted(self.folder.glob("step-*")):
            path.unlink()
        real(self, step, tensors, plain)

    monkeypatch.setattr(Store, "save", save)


def line_first(monkeypatch):
    """Say that a state is there, then write it, and keep one."""

    def save(self, step, tensors, plain):
        self.keep = 1
        name = f"step-{step}.safetensors"
        disk.append(self.manifest, f'{{"file": "{name}"}}')
        for path in self.folder.glob("step-*"):
            path.unlink()
        disk.write(self.folder / name, store.checkpoint.encode(tensors, plain))

    monkeypatch.setattr(Store, "save", save)


def manifest_in_place(monkeypatch):
    """Write the whole manifest anew, in place, and believe it."""

    def append(path, line):
        disk.put(path, line.encode(), os.O_CREAT | os.O_TRUNC)

    monkeypatch.setattr(disk, "append", append)
    monkeypatch.setattr(Store, "found", lambda self: [])


@pytest.mark.parametrize(
    "fault", [no_sync_of_files, no_sync_of_folders, in_place, remove_first, line_first, manifest_in_place]
)
def test_a_planted_fault_is_caught(tmp_path, monkeypatch, fault):
    """F03: the harness would notice."""
    fault(monkeypatch)
    monkeypatch.setattr(recorder.File, "stride", 40)
    assert fail_everywhere(tmp_path / "run", monkeypatch).lost > 0
