"""`dl attack -m`: every combination once, what failed said, what is done kept."""

import json
from pathlib import Path

import pytest

import dlcli.verbs.onslaught as onslaught_module

TRAINED: list[Path] = []


@pytest.fixture
def run(dl, tmp_path_factory) -> Path:
    """Return a small classifier of digits, trained once for all tests."""
    if not TRAINED:
        kept = tmp_path_factory.mktemp("kept")
        assert dl("train", "model=mlp", "data=digits8", "epochs=2", f"paths.outputs={kept}")[0] == 0
        TRAINED.extend(kept.glob("*/*"))
    return TRAINED[0]


QUICK = ("n=20", "checks=0")


def test_a_grid_ends_in_a_table_and_keeps_every_report(dl, run):
    words = ("attack", str(run), "-m", "attack=fgsm,pgd", "attack.eps=0.1,0.2", *QUICK)
    code, out, _ = dl(*words)
    assert code == 0
    assert "attacks on" in out
    (place,) = (run / "attacks/sweeps").glob("attack-eps-*")
    names = sorted(f"{path.parent.name}/{path.stem}" for path in place.glob("job-*/*.json"))
    assert names == [f"job-{i}/{kind}-linf-eps{eps}" for i, (kind, eps) in enumerate(
        (kind, eps) for kind in ("fgsm", "pgd-40") for eps in ("0.1", "0.2"))]  # fmt: skip
    assert len(list(place.glob("job-*/*.safetensors"))) == 4
    found = [json.loads(path.read_text())["robust_accuracy"] for path in sorted(place.glob("job-*/*.json"))]
    rows = [line.split(",") for line in (place / "sweep.csv").read_text().splitlines()]
    assert [float(row[rows[0].index("robust_accuracy")]) for row in rows[1:]] == found
    whole = json.loads((place / "worst-case.json").read_text())["groups"]
    assert [(group["attacks"], group["examples"]) for group in whole] == [(4, 20)]
    assert whole[0]["robust_accuracy"] <= min(found)
    code, out, _ = dl(*words)
    assert code == 0
    assert "(4 done before)" in out
    assert f"all of these: robust accuracy {100 * whole[0]['robust_accuracy']:.2f} %" in out


def test_the_worst_case_is_taken_for_each_example_and_only_over_the_same_pictures(dl, run):
    """Aimed at one class each, the attacks win different examples: together they leave less than any of them."""
    words = ("attack", str(run), "-m", "attack=fgsm", "attack.eps=0.1", "attack.target=0,3,8", "checks=0", "n=40,60")
    code, out, _ = dl(*words)
    assert code == 0
    (place,) = (run / "attacks/sweeps").glob("n-target-*")
    reports = [json.loads(path.read_text()) for path in place.glob("job-*/*.json")]
    for group in json.loads((place / "worst-case.json").read_text())["groups"]:
        same = [report for report in reports if report["examples"] == group["examples"]]
        assert group["attacks"] == len(same) == 3
        assert group["robust_accuracy"] < min(report["robust_accuracy"] for report in same)
    assert out.count("all of these") == 2


def test_a_failure_ends_no_other_attack_and_the_same_command_tries_it_again(dl, run):
    words = ("attack", str(run), "-m", "attack=pgd", "attack.steps=2", "attack.target=3,77", *QUICK)
    for _ in range(2):
        code, out, err = dl(*words)
        assert code == 11
        assert "attack.target=77 must be a class below 10" in err
        assert "1 of 2 jobs failed" in err
        assert "Traceback" not in out + err
    assert "(1 done before)" in out


def test_pairs_may_go_elsewhere_while_the_reports_stay(dl, run):
    code, out, err = dl("attack", str(run), "-m", "attack=fgsm,noise", "out=elsewhere", *QUICK)
    assert code == 0, out + err
    place = max((run / "attacks/sweeps").glob("attack-*"), key=lambda path: path.stat().st_mtime)
    assert sorted(path.parent.name for path in Path("elsewhere").glob("job-*/*.safetensors")) == ["job-0", "job-1"]
    assert json.loads((place / "worst-case.json").read_text())["groups"][0]["attacks"] == 2


def test_an_interrupted_grid_goes_on(dl, run, monkeypatch):
    words = ("attack", str(run), "-m", "attack=fgsm", "attack.eps=0.01,0.02", "seed=3", *QUICK)
    honest, calls = onslaught_module.attack, []

    def dying(*given):
        if calls:
            raise KeyboardInterrupt
        calls.append(1)
        return honest(*given)

    monkeypatch.setattr(onslaught_module, "attack", dying)
    assert dl(*words)[0] == 130
    monkeypatch.setattr(onslaught_module, "attack", honest)
    code, out, _ = dl(*words)
    assert code == 0
    assert "(1 done before)" in out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("attack=fgsm,pdg",), "did you mean pgd?"),
        (("attack=fgsm", "attack.eps=0.1,-1"), "attack.eps must be"),
        (("attack=fgsm", "attack.eps=interval(0.1,0.2)"), "list values instead"),
    ],
)
def test_what_cannot_be_is_told_before_anything_runs(dl, run, words, message):
    code, out, err = dl("attack", str(run), "-m", *words, *QUICK)
    assert code == 2
    assert message in err
    assert "job 0" not in out


def test_all_sizes_are_looked_at_before_the_first_is_tried(dl, run):
    code, out, err = dl("attack", str(run), "attack.eps=[0.1,8]", *QUICK)
    assert code == 2
    assert "divide by 255" in err
    assert "robust" not in out


def test_a_twin_is_told_of_and_must_be_another_net(dl, run, tmp_path):
    assert dl("train", "model=mlp", "data=digits8", "epochs=2", "seed=1", f"paths.outputs={tmp_path}")[0] == 0
    (other,) = tmp_path.glob("*/*")
    code, out, _ = dl("attack", str(run), f"twin={other}", "attack=pgd", "attack.eps=0.3", "n=20", "checks=20")
    assert code == 0
    assert "PASS twin" in out
    code, _, err = dl("attack", str(run), f"twin={run}", *QUICK)
    assert code == 2
    assert "twin=" in err
    assert "take a run of another seed" in err
