"""Run folders: one for each run, in the order in which they began, found by what people type."""

import json
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from dlcli.errors import ConfigError, DataError, RefusedError, RunError, StorageError
from dlcli.run import Run, find, runs, unfinished

RECORD = {"config": {"model": {}, "data": {}}}


def create(name="mlp-iris") -> Run:
    """Make a run with something like a checkpoint."""
    run = Run.create(Path("outputs"), name, RECORD)
    (run / "checkpoints/manifest.jsonl").touch()
    return run


def test_two_hundred_runs_at_once_get_two_hundred_folders():
    with ThreadPoolExecutor(16) as pool:
        made = list(pool.map(lambda _: create(), range(200)))
    assert len({run.path for run in made}) == 200


def test_runs_are_in_the_order_in_which_they_began():
    made = [create(name) for name in ("b-x", "a-x", "b-x", "a-x")]
    assert [run.path for run in runs(Path("outputs"))] == [run.path for run in made]


def test_a_run_is_found_by_path_by_name_and_by_nothing():
    first, second = create("mlp-iris"), create("vae-digits")
    for name in (str(first), first.path.name, "mlp-iris", str(first.path), f"mlp-iris/{first.path.name}"):
        assert find(Path("outputs"), name).path == first.path
    assert find(Path("outputs"), "iris").path == first.path  # a part of the name
    assert find(Path("outputs"), None).path == second.path
    Run.create(Path("outputs"), "dead-run", RECORD)  # it has no checkpoint: nothing can be done with it
    assert find(Path("outputs"), None).path == second.path
    with pytest.raises(RunError, match="did you mean vae-digits"):
        find(Path("outputs"), "vae-digit5")


def test_a_run_is_finished_when_it_is_done_and_told():
    first, second, third = (create() for _ in range(3))
    Run.create(Path("outputs"), "dead-run", RECORD)  # it has no checkpoint to go on from
    for run in (first, second, third):
        run.write("status.json", {"state": "done"})
    for run in (second, third):
        run.write("report.json", {})
    assert unfinished(Path("outputs")).path == first.path  # it was left between its last step and its report
    second.write("status.json", {"state": "stopped"})
    assert unfinished(Path("outputs")).path == second.path
    for run in (first, second):
        run.write("status.json", {"state": "done"})
        run.write("report.json", {})
    assert unfinished(Path("outputs")) is None
    third.write("status.json", {"state": "done", "step": 9})
    third.write("report.json", {"steps": 5})
    assert unfinished(Path("outputs")).path == third.path  # it went on, and its report is the one from before
    third.write("report.json", {"steps": 9})
    assert unfinished(Path("outputs")) is None


@pytest.mark.parametrize("name", ["../x", "/etc/x", "a/b", ".hidden", "", "a b", "a\nb"])
def test_names_stay_inside_the_outputs(name):
    with pytest.raises(ConfigError):
        Run.create(Path("outputs"), name, RECORD)
    assert not Path("outputs").exists()


def test_a_folder_that_cannot_be_written_is_told():
    Path("outputs").write_text("a file, not a folder")
    with pytest.raises(StorageError, match=r"paths\.outputs=DIR"):
        create()


@pytest.mark.parametrize(("told", "step"), [(7, 7), (10**39, 0), (-1, 0), ("y", 0), (True, 0), (None, 0), ([3], 0)])
def test_a_step_that_cannot_be_is_none(tmp_path, told, step):
    (tmp_path / "status.json").write_text(json.dumps({"at": told}))
    assert Run(tmp_path).at == step


@pytest.mark.parametrize("place", ["checkpoints", "figures/test-confusion.png", "export/safetensors", "a/b/c/d"])
def test_a_link_anywhere_in_a_run_is_refused(tmp_path, place):
    run = create()
    assert run.record == RECORD
    link = run / place
    link.parent.mkdir(parents=True, exist_ok=True)
    if link.is_dir():
        link.rename(tmp_path / "elsewhere")
    link.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(RefusedError, match=f"{place}: a link"):
        _ = run.record


def test_a_folder_that_cannot_be_searched_is_told(monkeypatch):
    run = create()
    real = os.scandir

    def scandir(path):
        if Path(path).name == "figures":
            raise PermissionError(13, "Permission denied", str(path))
        return real(path)

    monkeypatch.setattr(os, "scandir", scandir)
    with pytest.raises(RunError, match=r"figures: cannot be searched for links \(Permission denied\)"):
        _ = run.record


def test_a_file_of_a_run_is_put_where_git_has_dropped_the_folder():
    run = create()
    (run / "figures").rmdir()
    run.put("figures/x.txt", b"x")
    assert (run / "figures/x.txt").read_bytes() == b"x"
    (run / "figures/x.txt").unlink()
    (run / "figures").rmdir()
    (run / "figures").write_text("a file, not a folder")
    with pytest.raises(StorageError, match=r"figures/x\.txt: cannot be written"):
        run.put("figures/x.txt", b"x")


def test_a_folder_means_its_own_runs_not_those_of_one_whose_name_begins_alike():
    own, other = create("softmax-digits"), create("softmax-digits8")
    for name in ("outputs/softmax-digits", "outputs/softmax-digits/", "softmax-digits/", str(own.path.parent)):
        assert find(Path("outputs"), name).path == own.path
    assert find(Path("outputs"), "outputs").path == find(Path("outputs"), "softmax").path == other.path
    with pytest.raises(RunError, match="no such run"):
        find(Path("outputs"), "outputs/softmax-digit")


def test_a_record_that_could_not_be_read_again_is_refused_before_the_run_is_made():
    names = {"config": {"model": {}, "data": {"names": ["x" * 60] * 70_000}}}
    with pytest.raises(DataError, match=r"takes 4,\d+,\d+ bytes, more than the 4,194,304 .* fewer columns"):
        Run.create(Path("outputs"), "linear-table", names)
    assert not Path("outputs").exists()


def test_one_damaged_status_takes_no_other_run_away(dl, capfd):
    good, bad = create("good-run"), create("bad-run")
    good.write("status.json", {"state": "stopped", "step": 3})
    (bad / "status.json").write_text("{")
    assert unfinished(Path("outputs")).path == good.path
    assert capfd.readouterr().err.startswith(f"warning: {bad}/status.json: damaged")
    code, out, err = dl("ls", "runs")
    assert (code, err) == (0, "")
    assert [line.split()[1] for line in out.splitlines()[1:]] == ["stopped", "damaged"]
