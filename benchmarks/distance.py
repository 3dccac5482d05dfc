"""Does the distance that a Wasserstein critic measures say how good samples are? It beside FID-LeNet, along one run.

The critic's distance is `gap`, its mean output for validation pictures minus that for as many samples, both players as
they stand at that step, without an average of the weights. FID-LeNet compares as many samples with the same pictures,
on features of a LeNet-5 that learned MNIST (a run folder given as `--judge`; without it one is trained first).
"""

import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import common

EXPERIMENT = "wgan_gp_mnist"


class Plan(NamedTuple):
    """How much is done."""

    steps: int  # of the critic
    every: int  # steps between two looks
    share: float  # of the validation pictures
    judge: list[str]  # words of its training


FULL = Plan(2400, 120, 0.2, [])
QUICK = Plan(6, 2, 0.02, ["epochs=1", "limit=0.05", "limit_valid=0.05"])


def main() -> None:
    """Train, look every so many steps, and print distances and their correlation."""
    given = common.options(
        __doc__, judge="run folder of a classifier of MNIST", experiment=f"which GAN (default {EXPERIMENT})"
    )
    plan = QUICK if given.quick else FULL
    with TemporaryDirectory() as folder:
        judge = Path(given.judge) if given.judge else trained(folder, plan)
        points = list(followed(given.experiment or EXPERIMENT, judge, plan))
    rows = [[str(step), f"{gap:.4g}", f"{fid:.4g}"] for step, gap, fid in points]
    common.show(rows, given, ("step", "critic's distance", "FID-LeNet"))
    told(points, "all points")
    told(points[len(points) // 2 :], "second half")


def trained(folder: str, plan: Plan) -> Path:
    """Train the judge; return its run folder."""
    words = ["experiment=lenet_mnist_fast", "device=cpu", f"paths.outputs={folder}", *plan.judge]
    common.child([sys.executable, "-m", "dlcli", "train", *words])
    return next(Path(folder).glob("*/*/run.json")).parent


def followed(experiment: str, judge: Path, plan: Plan) -> Iterator[tuple[int, float, float]]:
    """Yield step, the critic's distance and FID-LeNet."""
    import ours
    import torch

    from dlcli import fidelity
    from dlcli.config.check import check
    from dlcli.engine.randomness import aside
    from dlcli.run import Run
    from dlcli.samplers import Prior
    from dlcli.verbs.common import revive
    from dlcli.verbs.judge import Judge, asking
    from dlcli.verbs.prepare import prepare

    words = [f"experiment={experiment}", "name=gan", "device=cpu", "ema=null", f"limit_valid={plan.share}"]
    setup, cpu = prepare(check("train", words)), torch.device("cpu")
    ask = asking(Judge(revive(Run(judge), "best", cpu), {}), 500, cpu)
    real = setup.valid.take(range(setup.valid.examples)).x
    engine = setup.engine
    for _ in range(0, plan.steps, plan.every):
        ours.learn(engine, setup.train, plan.every)
        gap = engine.score(setup.valid)["gap"]
        with torch.no_grad(), aside(0):
            samples = engine.model.sample(len(real), Prior())
            fid = fidelity.frechet(ask(real)[0], ask(samples)[0])
        print(engine.clock.step, gap, fid, file=sys.stderr, flush=True)
        yield engine.clock.step, gap, fid


def told(points: list[tuple[int, float, float]], which: str) -> None:
    """Print how distance and FID go together."""
    from scipy.stats import pearsonr, spearmanr

    _, gaps, fids = zip(*points, strict=True)
    linear, ranks = pearsonr(gaps, fids).statistic, spearmanr(gaps, fids).statistic
    print(f"{which} ({len(points)}): Pearson {linear:.3f}, Spearman {ranks:.3f}")


if __name__ == "__main__":
    main()
