"""The losses of GANs side by side on a ring of eight modes: how many modes, and how many good samples?

Every loss has the nets, rates and steps of `experiment=ring_gan`; what keeps its critic smooth is its own. The epoch
with the least distance on the validation split is kept, and counted are 10,000 samples of it: a sample within three
standard deviations of a mode is good, and a mode is found if it has a good sample. BEGAN is not here: its critic
rebuilds pixels and ends in a sigmoid, and all of these modes lie beyond 1 or below 0.
"""

import statistics
import sys
from typing import Any, NamedTuple

import common

WAYS = {
    "minimax": ["objective=minimax"],
    "non-saturating": ["objective=nonsaturating"],
    "Wasserstein, clipped": ["objective=wasserstein", "regularizer=clipping"],
    "WGAN-GP": ["objective=wasserstein", "regularizer=gradient_penalty", "model.regularizer.weight=0.1"],
    "least squares": ["objective=least_squares"],
    "DRAGAN": ["objective=minimax", "regularizer=dragan", "model.regularizer.weight=0.1"],
    "hinge, spectral norm": ["objective=hinge", "model.critic.norm=spectral"],
}
SAMPLES = 10_000
DRAWN = 2000  # of them, and of the data, in the picture
PAGE = (4, 2)  # panels across and down


class Plan(NamedTuple):
    """How much is done."""

    seeds: range
    words: list[str]


FULL = Plan(range(3), [])
QUICK = Plan(range(2), ["epochs=1", "data.source.samples=2560"])


class Found(NamedTuple):
    """What a generator makes, and how much of it is good."""

    points: Any  # (N, 2)
    real: Any  # (M, 2), the test split
    modes: float
    good: float


def main() -> None:
    """Train every loss with every seed; print the table and draw the first seed."""
    given = common.options(__doc__, out="where the picture goes (default ring.png)")
    plan = QUICK if given.quick else FULL
    rows, panels = [], {}
    for name, settings in WAYS.items():
        found = [learned([*settings, *plan.words, f"seed={seed}"]) for seed in plan.seeds]
        panels[name] = found[0]
        rows.append([name, spread([f.modes for f in found]), spread([100 * f.good for f in found])])
        print(*rows[-1], sep="  ", file=sys.stderr, flush=True)
    common.show(rows, given, ("loss", "modes of 8", "good samples, %"))
    draw(panels, given.out or "ring.png", plan.seeds[0])


def learned(words: list[str]) -> Found:
    """Train one generator and count."""
    import torch

    from dlcli import fidelity
    from dlcli.config.check import check
    from dlcli.engine.randomness import aside
    from dlcli.samplers import Prior
    from dlcli.verbs.prepare import prepare

    setup = prepare(check("train", ["experiment=ring_gan", "name=gan", "device=cpu", *words]))
    engine = setup.engine
    engine.fit(setup.train, setup.valid)
    engine.model.load_state_dict(engine.best_weights)
    with torch.no_grad(), aside(0):
        points = engine.model.eval().sample(SAMPLES, Prior())
    facts = setup.splits.facts
    return Found(points, setup.splits.test.x, **fidelity.modes(points, torch.tensor(facts["modes"]), facts["spread"]))


def spread(values: list[float]) -> str:
    """Return mean ± standard deviation."""
    return f"{statistics.mean(values):.1f} ± {statistics.stdev(values):.1f}"


def draw(panels: dict[str, Found], path: str, seed: int) -> None:
    """Draw samples of every loss over the data."""
    from matplotlib.figure import Figure

    from dlcli.figures.canvas import ACCENT, PALE

    across, down = PAGE
    real = next(iter(panels.values())).real[:DRAWN]
    figure = Figure(figsize=(2.6 * across, 2.8 * down), layout="constrained")
    shown = {"data": None} | {
        f"{name}\n{f.modes:.0f} modes, {100 * f.good:.0f} % good": f for name, f in panels.items()
    }
    for place, (title, found) in enumerate(shown.items(), 1):
        axes = figure.add_subplot(down, across, place, aspect="equal", xlim=(-2.7, 2.7), ylim=(-2.7, 2.7))
        axes.set_title(title, fontsize=9)
        axes.set(xticks=[], yticks=[])
        axes.scatter(*real.T, s=8, color=PALE, lw=0)
        if found:
            axes.scatter(*found.points[:DRAWN].T, s=2, alpha=0.4, color=ACCENT, lw=0)
    figure.suptitle(f"seed {seed}", fontsize=9)
    figure.savefig(path, dpi=100)


if __name__ == "__main__":
    main()
