"""LeNet-5 with few labels: from scratch, or from a run on MNIST, on USPS (other digits) and Fashion-MNIST (clothes).

Every way takes the same number of steps, with cosine decay; seed s draws labels, first weights and order of the
examples; the source is one run. The last weights are tested once: with ten labels nobody has a validation set.
"""

import statistics
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import common

LABELS = (10, 100, 1000)
TASKS = ("usps", "fashion")
BODY = ",".join(["net.picture.*", *(f"net.layers.{number}.*" for number in (1, 4, 8, 10))])
HEAD = "learn=[net.layers.12.*]"
WAYS = {
    "from scratch": ["optimizer.lr=1e-3"],
    "linear probe": ["optimizer.lr=1e-2", HEAD],
    "all layers": ["optimizer.lr=1e-3"],
    "thaw 0.5, decay 0.7": ["optimizer.lr=1e-3", "thaw=0.5", "layer_decay=0.7"],
    "LoRA, rank 4": ["optimizer.lr=3e-3", "lora.rank=4", HEAD],
}


class Plan(NamedTuple):
    """How much is done."""

    seeds: range
    steps: int
    source: list[str]  # words of the run on MNIST


FULL = Plan(range(5), 300, ["epochs=6"])
QUICK = Plan(range(2), 10, ["epochs=1", "limit=0.05", "limit_valid=0.05"])


def main() -> None:
    """Train the source, then every task with so many labels in every way."""
    given = common.options(__doc__)
    plan = QUICK if given.quick else FULL
    with TemporaryDirectory() as folder:
        words = ["model=lenet", "data=mnist", "device=cpu", f"paths.outputs={folder}", *plan.source]
        common.child([sys.executable, "-m", "dlcli", "train", *words])
        (record,) = Path(folder).glob("*/*/run.json")
        rows = [row for task in TASKS for row in rows_of(task, str(record.parent), plan)]
    common.show(rows, given, ("test accuracy", "labels", *WAYS))
    print(f"{len(plan.seeds)} seeds (mean ± standard deviation), {plan.steps} steps, source: {' '.join(plan.source)}")


def rows_of(task: str, source: str, plan: Plan) -> Iterator[list[str]]:
    """Yield a row for each number of labels; for USPS first what the source knows without any."""
    if task == "usps":
        known = f"{100 * accuracy(words(task, source, 10, plan, 0), learns=False):.2f}"
        yield [task, "0", "", "", known, *[""] * (len(WAYS) - 3)]
    for labels in LABELS:
        cells = []
        for way, settings in WAYS.items():
            found = []
            for seed in plan.seeds:
                origin = None if way == "from scratch" else source
                found.append(100 * accuracy([*words(task, origin, labels, plan, seed), *settings]))
            cells.append(f"{statistics.mean(found):.2f} ± {statistics.stdev(found):.2f}")
            print(f"{task}, {labels} labels, {way}: {cells[-1]}", file=sys.stderr, flush=True)
        yield [task, str(labels), *cells]


def words(task: str, source: str | None, labels: int, plan: Plan, seed: int) -> list[str]:
    """Return the assignments of one training."""
    draw = [f"data={task}", f"data.source.train={labels}", f"data.source.split_seed={seed}", f"seed={seed}"]
    length = [f"batch={min(labels, 32)}", f"epochs={plan.steps}", f"max_steps={plan.steps}", "limit_valid=0.01"]
    part = [f"init_only=[{BODY}]"] if task == "fashion" else []  # the digits' own head says nothing about clothes
    start = [f"init_from={source}", *part] if source else []
    return ["model=lenet", "name=lenet", "device=cpu", "schedule=cosine", *draw, *length, *start]


def accuracy(assignments: list[str], learns: bool = True) -> float:
    """Train, and return the accuracy of the last weights on the test split."""
    from dlcli.config.check import check
    from dlcli.data.serving import serve
    from dlcli.verbs.prepare import prepare

    setup: Any = prepare(check("train", assignments))
    if learns:
        setup.engine.fit(setup.train, setup.valid)
    return setup.engine.score(serve(setup.splits.test, size=500, shuffle=False))["accuracy"]


if __name__ == "__main__":
    main()
