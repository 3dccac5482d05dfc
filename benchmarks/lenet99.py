"""Seconds from the start of the process to LeNet-5 at 99 % on the test set of MNIST: `dl train experiment=...`.

The clock runs over the whole command: interpreter, imports, reading the data, training, validation, logs, figures,
checkpoints. The test accuracy is measured afterwards, by `dl eval`, and only once per seed.
"""

import json
import statistics
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import common

GOAL = 0.99
EXPERIMENT = "lenet_mnist_fast"


def main() -> None:
    """Train with five seeds."""
    given = common.options(__doc__)
    data = common.data_name()
    shorter = ["max_steps=30", "limit_valid=0.1"] if given.quick else []
    words = [f"data={data}", "device=cpu", f"device.threads={given.threads}", *shorter]
    found = [one(seed, words) for seed in range(2 if given.quick else 5)]
    seconds, accuracies = zip(*found, strict=True)
    rows = [[f"seed {i}", f"{s:.2f}", percent(a), reached(a)] for i, (s, a) in enumerate(found)]
    mean, spread = statistics.mean, statistics.stdev
    rows.append(["mean", f"{mean(seconds):.2f}", percent(mean(accuracies)), reached(mean(accuracies))])
    rows.append(["standard deviation", f"{spread(seconds):.2f}", percent(spread(accuracies)), ""])
    common.show(rows, given, (f"{EXPERIMENT} on {data}", "seconds", "test accuracy", f">= {percent(GOAL)}"))


def one(seed: int, words: list[str]) -> tuple[float, float]:
    """Train with one seed and test; return the seconds of the training command and the test accuracy."""
    dl = [sys.executable, "-m", "dlcli"]
    with TemporaryDirectory() as outputs:
        place = f"paths.outputs={outputs}"
        seconds, _ = common.child([*dl, "train", f"experiment={EXPERIMENT}", f"seed={seed}", place, *words])
        common.child([*dl, "eval", "points=0", "mistakes=0", place])
        (report,) = Path(outputs).glob("*/*/report-test.json")
        return seconds, json.loads(report.read_text(encoding="utf-8"))["scores"]["accuracy"]


def percent(share: float) -> str:
    """Return a share as hundredths."""
    return f"{100 * share:.2f} %"


def reached(accuracy: float) -> str:
    """Say whether the goal is reached."""
    return "yes" if accuracy >= GOAL else "NO"


if __name__ == "__main__":
    main()
