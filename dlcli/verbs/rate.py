"""The learning-rate range test (Smith 2017, arXiv:1506.01186): some steps at a rate that rises from one to the next.

While the rate is far too small the loss stays; then it falls; when the rate is too large it explodes: the test ends.
The rate to take lies where the loss falls fastest against the logarithm of the rate.

    rate(i) = low (high / low)^(i / steps),   smooth(i) = 0.9 smooth(i - 1) + 0.1 loss(i), corrected for its start
"""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from dlcli.engine.loop import Engine
from dlcli.errors import ConfigError, DivergedError
from dlcli.verbs.borrowed import agreed
from dlcli.verbs.common import writable
from dlcli.verbs.prepare import Setup, prepare

LOW, HIGH = 1e-6, 10.0  # learning rates at the ends of the test
MEMORY = 0.9  # share of the smoothed loss that survives a step
EXPLODED = 4.0  # times the lowest smoothed loss


class Curve:
    """Stands in for the log of an engine, and keeps rates and smoothed losses."""

    def __init__(self) -> None:
        self.rates: list[float] = []
        self.losses: list[float] = []
        self.mean = 0.0

    def scalars(self, values: dict[str, float], step: int) -> None:
        """Take in one step."""
        loss = next((value for name, value in values.items() if "loss" in name), None)
        if loss is None:
            raise ConfigError("find_lr=true: this model takes no steps down a loss that could be watched")
        self.mean = MEMORY * self.mean + (1 - MEMORY) * loss
        self.rates.append(next(value for name, value in values.items() if "rate" in name))
        self.losses.append(self.mean / (1 - MEMORY ** (len(self.rates))))

    def tick(self, step: int, line: str) -> None:
        """Say nothing: the test is short."""

    def say(self, line: str) -> None:
        """Pass on what the engine has to say."""
        print(line)

    @property
    def exploded(self) -> bool:
        """Tell whether the loss is far above the lowest one."""
        return len(self.losses) > 1 and self.losses[-1] > EXPLODED * min(self.losses)

    def steepest(self) -> float:
        """Return the rate at which the loss falls fastest; every step is as long as the others in log rate."""
        if len(self.losses) < 10 or min(self.losses) == self.losses[0]:
            raise ConfigError("the loss never fell while the rate rose; look for a fault in model or data")
        lowest = self.losses.index(min(self.losses))
        span = max(1, lowest // 10)
        slopes = [self.losses[i + span] - self.losses[i] for i in range(max(1, lowest - span + 1))]
        return self.rates[slopes.index(min(slopes)) + span // 2]


def find_rate(config: Any, overrides: Sequence[str]) -> float:
    """Run the test for a composed config, draw the curve, print the rate to take and return it."""
    for note in agreed(config, overrides):
        print(note)
    setup = prepare(config)
    curve = rise(setup)
    rate = curve.steepest()
    target = Path(config.paths.outputs) / f"rate-{setup.config['name']}-{setup.config['data']['name']}.png"
    with writable(target.parent):
        draw(curve.rates, curve.losses, rate).savefig(target)
    print(f"rate     the loss falls fastest at optimizer.lr={rate:.1g} ({len(curve.rates)} steps, curve in {target})")
    return rate


def rise(setup: Setup) -> Curve:
    """Take steps at rising rates until the loss explodes; the model is spent afterwards."""
    engine, curve = setup.engine, Curve()
    if not engine.players:
        raise ConfigError("find_lr=true: this model takes no steps, so no learning rate either")
    base = next(iter(engine.players.values())).rates[0]
    engine.log = curve
    engine.settings = settings(engine)
    engine.clock = engine.clock._replace(steps=setup.config["max_steps"] or 200)
    engine.schedule = lambda p: LOW * (HIGH / LOW) ** p / base  # type: ignore[assignment]
    try:
        while engine.clock.step < engine.clock.steps and not curve.exploded:
            engine.train_epoch(setup.train, lambda: curve.exploded)
            engine.clock, engine.position = engine.clock._replace(epoch=engine.clock.epoch + 1), 0
    except DivergedError:
        pass  # as it must, sooner or later
    return curve


def settings(engine: Engine) -> Any:
    """Return the engine's settings with a point of the curve at every step."""
    from dataclasses import replace

    return replace(engine.settings, every=1)


def draw(rates: Sequence[float], losses: Sequence[float], rate: float) -> Any:
    """Return the figure: smoothed loss against rate, and the rate to take."""
    from dlcli.figures import ACCENT, INK, canvas

    figure, axes = canvas("learning-rate range test", "learning rate", "smoothed loss")
    axes.plot(rates, losses, color=ACCENT)
    axes.axvline(rate, color=INK, lw=1, ls="--", label=f"steepest: {rate:.1g}")
    axes.set(xscale="log", ylim=(min(losses) * 0.9, min(max(losses), 2 * losses[0] - min(losses) or math.inf)))
    axes.legend(frameon=False)
    return figure
