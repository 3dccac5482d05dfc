"""The jobs of a sweep, their numbers, and the names of its folder."""

import math
import os

import pytest

from dlcli.errors import ConfigError, RunError
from dlcli.lock import held
from dlcli.sweep.axes import axes, corners, draws, grid
from dlcli.sweep.folder import folder, slug
from dlcli.sweep.ledger import Ledger
from dlcli.sweep.summary import harmless, rank, spreadsheet


def test_a_grid_is_the_product_and_leaves_out_what_steers_the_sweep():
    words = ["model=mlp", "seed=range(1,3)", "batch=choice(8,16)", "sweep.jobs=2", "hydra.verbose=true", "dry_run=true"]
    assert grid(axes(words)) == [
        ["model=mlp", f"seed={seed}", f"batch={batch}"] for seed in (1, 2) for batch in (8, 16)
    ]


@pytest.mark.parametrize(
    "word", ["a=interval(2,1)", "a=interval(1,1)", "a=tag(log,interval(0,1))", "a=interval(0,inf)"]
)
def test_an_interval_that_cannot_be_drawn_from_is_refused(word):
    with pytest.raises(ConfigError, match="from a smaller to a larger"):
        axes([word])


def test_a_grid_has_no_interval():
    with pytest.raises(ConfigError, match="sweep=random"):
        grid(axes(["a=interval(1,2)"]))


def test_draws_repeat_stay_inside_and_only_add():
    words = [
        "a=interval(1,2)",
        "b=tag(log,interval(1e-4,1))",
        "c=int(interval(1,3))",
        "d=tag(int,interval(1,2))",
        "e=x,y",
    ]
    first = list(draws(axes(words), 200, 7))
    assert first[:50] == list(draws(axes(words), 50, 7))
    assert first != list(draws(axes(words), 200, 8))
    a, b, c, d, e = ({job[i].partition("=")[2] for job in first} for i in range(5))
    assert all(1 <= float(value) < 2 for value in a)
    assert abs(sum(math.log10(float(value)) for value in b) / 200 + 2) < 0.3  # uniform in the logarithm
    assert c == {"1", "2", "3"}
    assert d == {"1", "2"}
    assert e == {"x", "y"}


def test_drawn_numbers_are_short_and_stay_inside():
    (axis,) = axes(["a=interval(0.1234567,0.1234569)"])
    assert [axis.assign(value) for value in (0.1234567, 0.12345678)] == ["a=0.1234567", "a=0.12345678"]
    (axis,) = axes(["a=tag(log,interval(1e-6,1))"])
    assert [axis.assign(value) for value in (1e-6, 1 / 3, 2e-5 / 3)] == ["a=1e-06", "a=0.333333", "a=6.66667e-06"]


def test_what_holds_at_the_ends_of_an_interval_is_checked():
    assert corners(["a=interval(1,2)", "b=int(interval(1,3))", "c=1,2"]) == ["a=1.0,2.0", "b=1,3", "c=1,2"]


def test_folder_names_are_safe_and_the_same_command_finds_its_own(tmp_path):
    """C13."""
    nasty = ["a='x/../../y'", "model='..'", "b.c='=\n $(id)',1", "data='/etc/passwd'"]
    assert not set(slug(axes(nasty))) & set("/. =\n$")
    first = folder(tmp_path, nasty, axes(nasty), again=False)
    assert first.parent == tmp_path / "sweeps"
    turned = [*nasty[::-1], "sweep.jobs=4", "hydra/launcher=joblib"]
    assert folder(tmp_path, turned, axes(turned), again=False) == first
    assert folder(tmp_path, [*nasty, "seed=1"], axes(nasty), again=False) != first
    again = folder(tmp_path, nasty, axes(nasty), again=True)
    assert again.name == f"{first.name}-2"
    assert folder(tmp_path, nasty, axes(nasty), again=False) == again


def test_your_own_configs_make_another_sweep(tmp_path, monkeypatch):
    before = folder(tmp_path, ["seed=1"], [], again=False)
    monkeypatch.setenv("DL_CONF", str(tmp_path))
    assert folder(tmp_path, ["seed=1"], [], again=False) != before


def test_the_ledger_keeps_numbers_and_passes_over_a_torn_line(tmp_path):
    """C05: numbering unchanged, what is done is not done again."""
    ledger = Ledger(tmp_path)
    assert ledger.enlist([["a=1", "b=1"], ["a=2"], ["b=1", "a=1"]]) == [0, 1]
    ledger.note(0, "done", scores={"loss": 1.0}, monitor="loss", rising=False)
    ledger.note(1, "failed", code=4, run="mlp-xor/one")
    with ledger.path.open("a") as file:
        file.write('{"job": 0, "state": "fai')
    assert Ledger(tmp_path).enlist([["a=3"], ["a=2"], ["a=1", "b=1"]]) == [2, 1]
    rows = ledger.rows()
    assert [rows[i]["state"] for i in range(3)] == ["done", "queued", "queued"]
    assert rows[1]["run"] is None  # what failed starts anew


@pytest.mark.parametrize(
    "line", ["[]", "3", '{"job": 0}', '{"job": [], "state": "done"}', '{"job": "x", "state": "done"}']
)
def test_a_ledger_of_a_stranger_is_no_more_than_its_sound_lines(tmp_path, line):
    ledger = Ledger(tmp_path)
    ledger.path.write_text(line + "\n")
    assert ledger.enlist([["a=1"]]) == [0]


def test_a_job_goes_on_only_in_a_run_folder_below_the_outputs(tmp_path):
    ledger = Ledger(tmp_path)
    (tmp_path / "mlp-xor/one/checkpoints").mkdir(parents=True)
    (tmp_path / "mlp-xor/one/checkpoints/manifest.jsonl").touch()
    ledger.enlist([["a=1"]])
    for run, found in (("mlp-xor/one", True), ("../x", False), ("/etc", False), ("mlp-xor/two", False), (7, False)):
        ledger.note(0, "interrupted", run=run)
        assert bool(ledger.unfinished(0, tmp_path)) is found
    ledger.note(0, "failed", run="mlp-xor/one")
    assert ledger.unfinished(0, tmp_path) is None


def test_a_second_sweep_in_the_same_folder_is_refused(tmp_path):
    with held(tmp_path), pytest.raises(RunError, match=f"process {os.getpid()}") as refusal, held(tmp_path):
        pass
    assert refusal.value.code == 6


def test_the_best_job_comes_first_and_a_spreadsheet_runs_nothing():
    rows = [
        {"job": 0, "state": "done", "monitor": "f", "rising": True, "scores": {"f": 0.1}, "overrides": ["a==cmd|x"]},
        {"job": 1, "state": "done", "monitor": "f", "rising": True, "scores": {"f": 0.9}, "overrides": ["a=-1e-3"]},
        {"job": 2, "state": "done", "monitor": "f", "rising": True, "scores": {"f": math.nan}, "overrides": ["a=@x"]},
        {"job": 3, "state": "failed", "overrides": ["a=1"], "code": 4, "error": "+1+1"},
    ]
    assert [row["job"] for row in sorted(rows, key=rank)] == [1, 0, 2, 3]
    assert [row["job"] for row in sorted(rows, key=lambda row: rank(row | {"rising": False}))] == [0, 1, 2, 3]
    table = spreadsheet(rows)
    assert "0,done,'=cmd|x,0.1," in table
    assert "1,done,-1e-3,0.9," in table
    assert "'@x" in table
    assert table.endswith("3,failed,1,,,4,'+1+1\n")
    assert harmless("-x") == "'-x"
    assert harmless(-2.5) == "-2.5"
