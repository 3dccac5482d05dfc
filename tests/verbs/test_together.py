"""`dl eval` of several runs, and of several views, at once."""

import json
from pathlib import Path

import pytest

pytestmark = pytest.mark.usefixtures("undrawn")


@pytest.fixture
def runs(trained) -> list[Path]:
    """Return two short runs of different seeds."""
    return [trained("model=mlp", "epochs=2", f"seed={seed}") for seed in (1, 2)]


def test_a_committee_is_scored_beside_its_members(dl, runs):
    code, out, err = dl("eval", str(runs[0]), f"committee=[{runs[1]}]", "see=[]", "points=0")
    assert code == 0, err
    assert "members" in out
    report = json.loads((runs[0] / "report-test.json").read_text())
    assert len(report["members"]) == 2
    assert report["committee"] == [str(runs[1])]
    losses = [row["loss"] for row in report["members"].values()]
    assert report["scores"]["loss"] < sum(losses) / 2  # the loss is convex: the average is better than on average


def test_mirrored_digits_are_harder(dl, runs):
    accuracy = {}
    for views in ("none", "mirror"):
        assert dl("eval", str(runs[0]), f"views={views}", "see=[]", "points=0")[0] == 0
        accuracy[views] = json.loads((runs[0] / "report-test.json").read_text())["scores"]["accuracy"]
    assert accuracy["mirror"] < accuracy["none"]


def test_other_classes_and_other_rules_are_refused(dl, runs):
    assert dl("train", "model=mlp", "data=iris", "epochs=1")[0] == 0
    code, _, err = dl("eval", str(runs[0]), "committee=[mlp-iris]")
    assert code == 2
    assert "must be the same classes" in err
    assert dl("train", "model=mlp", "data=digits8", "epochs=1")[0] == 0
    code, _, err = dl("eval", str(runs[0]), "committee=[mlp-digits8]")
    assert code == 2
    assert "learned from examples of 1x8x8, this run from 1x28x28; they must be alike" in err
    assert dl("train", "model=linear", "epochs=1")[0] == 0
    code, _, err = dl("eval", str(runs[0]), "committee=[linear-diabetes]")
    assert code == 2
    assert "works on classifiers" in err
