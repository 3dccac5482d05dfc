"""SIGKILL at any moment: the run goes on, and ends with the same bits as one that nothing happened to."""

import os
import random
import subprocess
import sys
import time
from pathlib import Path

import harness
import pytest
from harness import SAVING, aim, assert_same, assert_tidy, begin, finished, killed, only_run, wait

from dlcli.engine.store import Store

LONG = bool(os.environ.get("DL_LONG"))


def chain(config, unbroken, outputs, seed):
    """Kill a run up to eight times at random moments, and compare; return the number of kills."""
    seconds = 1.2 * unbroken_seconds(config, outputs)
    drawn = random.Random(seed)
    run, kills = killed(config, outputs / f"chain{seed}", (drawn.uniform(0.02, seconds) for _ in range(8)))
    assert_same(run, unbroken)
    assert_tidy(run)
    return kills


def unbroken_seconds(config, outputs, known=[]):  # noqa: B006 (measured once)
    """Return how long an unbroken run takes here and now."""
    if not known:
        start = time.monotonic()
        finished(config, outputs / "timed")
        known.append(time.monotonic() - start)
    return known[0]


def kill_at_random(warm, tmp_path, least):
    """Kill until enough is enough; print what was seen."""
    kills = chains = 0
    while kills < least:
        kills += chain(*warm, tmp_path, chains)
        chains += 1
    print(f"{kills} random kills in {chains} runs; every run ended with the bits of the unbroken one")


def test_killed_at_random_moments(warm, tmp_path):
    """F01."""
    kill_at_random(warm, tmp_path, 8)


@pytest.mark.long
def test_killed_at_random_moments_many_times(warm, tmp_path):
    """F01."""
    kill_at_random(warm, tmp_path, 300)


def kill_at(warm, tmp_path, point, count):
    """Kill a run at a point, let it go on, and compare."""
    config, unbroken = warm
    assert wait(begin(config, tmp_path, aim(point, count))) == -9, (tmp_path / "said.txt").read_text()
    before = harness.step(only_run(tmp_path))
    run = finished(config, tmp_path)
    assert harness.step(run) >= before
    assert_same(run, unbroken)
    assert_tidy(run)


@pytest.mark.parametrize("point", SAVING)
def test_killed_within_a_save(warm, tmp_path, point):
    """F02: aimed between write, fsync, rename, sync of the folder, line of the manifest, and prune."""
    kill_at(warm, tmp_path, point, random.Random(point).randint(2, 4))


@pytest.mark.long
@pytest.mark.parametrize("count", range(1, 6))
@pytest.mark.parametrize("point", SAVING)
def test_killed_within_each_save(warm, tmp_path, point, count):
    """F02."""
    kill_at(warm, tmp_path, point, count)


MOMENTS = {
    "step 0": ("before step", 1),
    "first batch": ("after step", 1),
    "middle of an epoch": ("before step", 10),
    "last batch": ("after step", harness.STEPS),
    "end of an epoch": ("after epoch end", 1),
    "validation": ("before validation", 3),
    "note of the best": ("before epoch end", 2),
    "between numbers and checkpoint": ("after scalars", 3),
    "after the last save": ("before finish", 1),
    "at the end": ("after finish", 1),
}


@pytest.mark.parametrize("moment", MOMENTS)
def test_killed_at_the_moments_that_others_got_wrong(warm, tmp_path, moment):
    """F07."""
    kill_at(warm, tmp_path, *MOMENTS[moment])


def test_killed_three_times_within_one_epoch(warm, tmp_path):
    """F06."""
    config, unbroken = warm
    config = config.copy()
    config.save.steps = 1
    for number in range(3):
        assert wait(begin(config, tmp_path, aim("after save", 2))) == -9
        assert harness.step(only_run(tmp_path)) == number + 1
    assert_same(finished(config, tmp_path), unbroken)


def test_a_finished_run_says_so(warm, tmp_path):
    """F07: after the last step."""
    config, _ = warm
    run = finished(config, tmp_path)
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    assert finished(config, tmp_path) == run
    assert "already finished" in Path("said.txt").read_text()
    assert before == {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}


def test_a_run_goes_on_elsewhere_in_another_process(warm, tmp_path):
    """F08, F33: moved, from another working directory, with other hashes and another locale."""
    config, unbroken = warm
    assert wait(begin(config, tmp_path / "a", aim("after step", 8))) == -9
    (tmp_path / "b").mkdir()
    run = only_run(tmp_path / "a").rename(tmp_path / "b/moved here")
    (tmp_path / "cwd").mkdir()
    environment = os.environ | {
        "PYTHONHASHSEED": "77",
        "LC_ALL": "C",
        "LANG": "C",
        "DL_OFFLINE": "1",
        "TZ": "Asia/Tokyo",
    }
    words = [sys.executable, harness.__file__, "train", f"resume='{run}'"]
    ended = subprocess.run(words, cwd=tmp_path / "cwd", env=environment, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    assert_same(run, unbroken)


def save_for_ever(folder, save):
    """Save one state after another; what is in a file tells whether it is whole."""
    import torch

    for number in range(10**9):
        save(folder, number, {"a": torch.full((250_000,), float(number))})
        (folder / "begun").touch()


def ours(folder, number, tensors):
    """Save as `dl` does."""
    Store(folder).save(number, tensors, {"number": number})


def naive(folder, number, tensors):
    """Save as one does without thinking: over the former state."""
    from dlcli.engine import checkpoint

    content = checkpoint.encode(tensors, {"number": number})
    with (folder / "state").open("wb") as file:
        file.write(content)


@pytest.mark.long
def test_a_naive_writer_loses_what_ours_keeps(tmp_path):
    """F01: the control. The same kills convict a writer that writes in place."""
    from dlcli.engine import checkpoint
    from dlcli.errors import CheckpointError

    lost = dict.fromkeys(("ours", "naive"), 0)
    for name, save in (("ours", ours), ("naive", naive)):
        for delay in [random.Random(i).uniform(0, 0.1) for i in range(100)]:
            folder = tmp_path / f"{name}{delay}"
            folder.mkdir()
            child = harness.fork(lambda folder=folder, save=save: save_for_ever(folder, save))
            while not (folder / "begun").exists():  # a first save has returned
                time.sleep(0.001)
            wait(child, delay)
            try:
                if name == "ours":
                    Store(folder).newest(repair=True)
                else:
                    checkpoint.decode((folder / "state").read_bytes(), folder)
            except (CheckpointError, FileNotFoundError):
                lost[name] += 1
    print(f"of 100 kills each lost: {lost}")
    assert lost["ours"] == 0
    assert lost["naive"] > 0
