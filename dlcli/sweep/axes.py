"""The axes of a sweep: what each override on the command line may become in a job.

Hydra's own grammar: `a,b`, `choice(...)` and `range(...)` list values; `interval(a,b)` is a uniform density,
`tag(log, interval(a,b))` one that is uniform in the logarithm, and `int(...)` or `tag(int, ...)` keeps whole numbers.
"""

import itertools
import math
import random
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from dlcli.config.check import parse
from dlcli.config.check import sweep as listed
from dlcli.errors import ConfigError

OURS = ("sweep", "dry_run")  # keys that steer the sweep and are no part of a job
DIGITS = 6  # of a number that is drawn


class Axis(NamedTuple):
    """One override: its assignments if they can be listed, else an interval."""

    key: str
    options: tuple[str, ...] = ()  # whole assignments, KEY=VALUE
    low: float = 0.0
    high: float = 0.0
    log: bool = False
    whole: bool = False

    def assign(self, value: float) -> str:
        """Return the assignment of a number in the interval, with as many digits as a reader can use."""
        short = value if self.whole else float(f"{value:.{DIGITS}g}")
        return f"{self.key}={short if self.low <= short <= self.high else value!r}"

    def at(self, share: float) -> str:
        """Return the assignment that lies at a share in [0, 1) of the axis."""
        if self.options:
            return self.options[int(share * len(self.options))]
        low, high = self.low, self.high + self.whole
        value = low * (high / low) ** share if self.log else low + share * (high - low)
        return self.assign(min(math.floor(value), int(self.high)) if self.whole else value)


def axes(overrides: Sequence[str]) -> list[Axis]:
    """Return one axis for each override that belongs to the jobs. Raises ConfigError."""
    keys = ((override, override.lstrip("+").partition("=")[0]) for override in overrides)
    return [axis(word) for word, key in keys if key.split(".")[0].split("/")[0] not in (*OURS, "hydra")]


def axis(word: str) -> Axis:
    """Return the axis that one override means."""
    override = parse(word)
    key = override.get_key_element()
    if not override.is_sweep_override() or override.is_discrete_sweep():
        if not (options := tuple(listed(override))):
            raise ConfigError(f"{word}: it holds no value")
        return Axis(key, options)
    interval = override.value()
    low, high = interval.start, interval.end
    whole, log = "int" in interval.tags or isinstance(low, int), "log" in interval.tags
    if not low < high or not math.isfinite(high - low) or (log and low <= 0):
        raise ConfigError(f"{word}: an interval goes from a smaller to a larger number, on a log scale both above 0")
    return Axis(key, (), int(low) if whole else low, int(high) if whole else high, log, whole)


def corners(overrides: Sequence[str]) -> list[str]:
    """Return the overrides with every interval replaced by its two ends: what holds for them holds in between."""
    found = []
    for word in overrides:
        one = axis(word)
        low, high = one.assign(one.low), one.assign(one.high).partition("=")[2]
        found.append(word if one.options else f"{low},{high}")
    return found


def grid(all_axes: Sequence[Axis]) -> list[list[str]]:
    """Return every combination of the listed values. Raises ConfigError for an interval."""
    for one in all_axes:
        if not one.options:
            raise ConfigError(
                f"{one.key}: an interval has no list of values; sweep=random and sweep=optuna draw from it"
            )
    return [list(words) for words in itertools.product(*(one.options for one in all_axes))]


def draws(all_axes: Sequence[Axis], trials: int, seed: int) -> Iterator[list[str]]:
    """Yield independent draws; a draw depends on seed, its number and the key alone, so more trials only add some."""
    for trial in range(trials):
        yield [one.at(random.Random(f"{seed} {trial} {one.key}").random()) for one in all_axes]
