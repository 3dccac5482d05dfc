"""`dl eval` of a smoothed classifier: certified accuracy at radii, as numbers and as a figure."""

import json
from pathlib import Path


def test_eval_certifies_a_smoothed_run_and_leaves_others_alone(dl):
    small = ("data=digits8", "epochs=3", "optimizer.lr=0.005", "model.votes=200", "model.draws=2")
    code, _, err = dl("train", "model=smoothed", *small)
    assert code == 0, err
    code, out, err = dl("eval", "certify=40", "points=0", "mistakes=0", "see=[]")
    assert code == 0, err
    assert "certified" in out
    run = next(Path("outputs").glob("*/*/run.json")).parent
    report = json.loads((run / "report-test.json").read_text())
    shares = [row["accuracy"] for row in report["certified"].values()]
    assert shares == sorted(shares, reverse=True)
    assert 0.2 < shares[0] <= 1 - report["abstained"]
    assert report["certified_examples"] == 40
    assert 0 < report["certified_radius"] < 0.25 * 2.2  # what 200 votes can prove at most is 1.82 std
    assert list((run / "figures").glob("*certificate*.png"))
    assert dl("eval", "certify=-1")[0] == 2
    assert dl("train", "model=softmax", "data=digits8", "epochs=1")[0] == 0
    code, _, err = dl("eval", "last", "certify=5")
    assert (code, "train model=smoothed" in err) == (2, True)
    assert dl("eval", "points=0", "mistakes=0", "see=[]")[0] == 0
