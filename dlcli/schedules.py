"""Schedules: the learning rate as a function of the share of the run that lies behind.

    rate = lr * schedule(progress)            progress in [0, 1]

A schedule knows no optimizer and counts no steps, so a run that is cut short, resumed or given other batches keeps its
shape. All lengths are shares of the run, all heights factors on the learning rate. With a warm-up share w,

    progress < w:   factor rises in a straight line from 0.01 to 1, times the first value of the shape
    progress >= w:  shape((progress - w) / (1 - w))

The rise starts at 0.01: a first step of rate 0 would be a batch thrown away.
"""

import math
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from dlcli.errors import ConfigError

COLD = 0.01  # the factor at the first step of a warm-up
ROUNDING = 1e-9  # 0.3 / 0.1 is a little less than 3


def demand(holds: bool, key: str, value: Any, rule: str, example: Any) -> None:
    """Raise ConfigError unless a value obeys its rule."""
    if not holds:
        raise ConfigError(f"schedule.{key}={value} must be {rule}; for example schedule.{key}={example}")


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """A factor on the learning rate; a subclass states its `shape` and, if it learns from scores, its state."""

    warmup: float = 0.0

    def __post_init__(self) -> None:
        """Refuse values out of range."""
        demand(0 <= self.warmup < 1, "warmup", self.warmup, "a share of the run in [0, 1)", 0.05)

    def __call__(self, progress: float) -> float:
        """Return the factor at a share of the run."""
        if progress < self.warmup:
            return self.shape(0.0) * (COLD + (1 - COLD) * progress / self.warmup)
        return self.shape((progress - self.warmup) / (1 - self.warmup))

    def shape(self, p: float) -> float:
        """Return the factor at a share of what follows the warm-up."""
        raise NotImplementedError

    def observe(self, value: float) -> None:
        """Take note of a validation score, the lower the better; most schedules do not care."""

    def state(self) -> dict[str, Any]:
        """Return what has to be kept with a checkpoint."""
        return {}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Continue from what `state` returned."""


@dataclass(frozen=True, kw_only=True)
class Constant(Schedule):
    """1."""

    def shape(self, p: float) -> float:
        """Return the factor at share `p`."""
        return 1.0


@dataclass(frozen=True, kw_only=True)
class Linear(Schedule):
    """1 + (end - 1) p: a straight line down to `end`."""

    end: float = 0.0

    def __post_init__(self) -> None:
        """Refuse values out of range."""
        super().__post_init__()
        demand(0 <= self.end < math.inf, "end", self.end, "a factor of at least 0", 0.0)

    def shape(self, p: float) -> float:
        """Return the factor at share `p`."""
        return 1 + (self.end - 1) * p


@dataclass(frozen=True, kw_only=True)
class Step(Schedule):
    """factor ** floor(p / period): a cut after every `period` of the run."""

    period: float
    factor: float = 0.1

    def __post_init__(self) -> None:
        """Refuse values out of range."""
        super().__post_init__()
        demand(0 < self.period <= 1, "period", self.period, "a share of the run in (0, 1]", 0.25)
        demand(0 < self.factor < math.inf, "factor", self.factor, "a factor above 0", 0.1)

    def shape(self, p: float) -> float:
        """Return the factor at share `p`."""
        return self.factor ** math.floor(p / self.period + ROUNDING)


@dataclass(frozen=True, kw_only=True)
class MultiStep(Schedule):
    """factor ** (number of milestones passed): cuts at chosen shares of the run."""

    milestones: Sequence[float]
    factor: float = 0.1

    def __post_init__(self) -> None:
        """Refuse values out of range."""
        super().__post_init__()
        marks = tuple(self.milestones)
        rising = all(a < b for a, b in zip((0.0, *marks), (*marks, 1.0), strict=True))
        demand(rising and len(marks) > 0, "milestones", list(marks), "rising shares of the run in (0, 1)", [0.5, 0.75])
        demand(0 < self.factor < math.inf, "factor", self.factor, "a factor above 0", 0.1)
        object.__setattr__(self, "milestones", marks)  # a list would make the schedule unhashable

    def shape(self, p: float) -> float:
        """Return the factor at share `p`."""
        return self.factor ** bisect_right(self.milestones, p + ROUNDING)


@dataclass(frozen=True, kw_only=True)
class Exponential(Schedule):
    """end ** p: the same factor at every step, `end` after all of them."""

    end: float = 0.01

    def __post_init__(self) -> None:
        """Refuse values out of range."""
        super().__post_init__()
        demand(0 < self.end < math.inf, "end", self.end, "a factor above 0", 0.01)

    def shape(self, p: float) -> float:
        """Return the factor at share `p`."""
        return self.end**p


@dataclass(frozen=True, kw_only=True)
class Cosine(Schedule):
    """end + (1 - end) (1 + cos(pi p)) / 2: half a cosine (Loshchilov and Hutter 2017, arXiv:1608.03983)."""

    end: float = 0.0

    def __post_init__(self) -> None:
        """Refuse values out of range."""
        super().__post_init__()
        demand(0 <= self.end < math.inf, "end", self.end, "a factor of at least 0", 0.0)

    def shape(self, p: float) -> float:
        """Return the factor at share `p`."""
        return swing(1.0, self.end, p)


@dataclass(frozen=True, kw_only=True)
class InverseRoot(Schedule):
    """sqrt(w / progress) after the warm-up share w, which the shape needs (Vaswani et al. 2017, arXiv:1706.03762)."""

    warmup: float = 0.1

    def __post_init__(self) -> None:
        """Refuse values out of range."""
        demand(0 < self.warmup < 1, "warmup", self.warmup, "a share of the run in (0, 1)", 0.1)

    def shape(self, p: float) -> float:
        """Return the factor at share `p`."""
        return math.sqrt(self.warmup / (self.warmup + p * (1 - self.warmup)))


@dataclass(frozen=True, kw_only=True)
class OneCycle(Schedule):
    """From `start` to 1 at share `peak`, then to `end`, on half cosines (Smith and Topin 2018, arXiv:1708.07120)."""

    peak: float = 0.3
    start: float = 0.04
    end: float = 4e-6

    def __post_init__(self) -> None:
        """Refuse values out of range."""
        super().__post_init__()
        demand(0 < self.peak < 1, "peak", self.peak, "a share of the run in (0, 1)", 0.3)
        demand(0 < self.start <= 1, "start", self.start, "a factor in (0, 1]", 0.04)
        demand(0 <= self.end <= 1, "end", self.end, "a factor in [0, 1]", 4e-6)

    def shape(self, p: float) -> float:
        """Return the factor at share `p`."""
        if p < self.peak:
            return swing(self.start, 1.0, p / self.peak)
        return swing(1.0, self.end, (p - self.peak) / (1 - self.peak))


@dataclass(frozen=True, kw_only=True)
class Plateau(Schedule):
    """A cut by `factor` when more than `patience` validations in a row were no better than the best one.

    Better means by more than the share `threshold` of the best value. The only schedule with a memory, which is not a
    setting: the fields stay frozen, and two schedules with equal fields are equal.
    """

    factor: float = 0.1
    patience: int = 10
    threshold: float = 1e-4
    memory: dict[str, Any] = field(init=False, repr=False, compare=False, default_factory=dict)

    def __post_init__(self) -> None:
        """Refuse values out of range."""
        super().__post_init__()
        demand(0 < self.factor < 1, "factor", self.factor, "a factor in (0, 1)", 0.1)
        demand(self.patience >= 0, "patience", self.patience, "a number of validations, at least 0", 10)
        demand(0 <= self.threshold < 1, "threshold", self.threshold, "a share in [0, 1)", 1e-4)
        self.memory.update(best=None, waited=0, scale=1.0)

    def shape(self, p: float) -> float:
        """Return the factor that the scores so far have led to."""
        return self.memory["scale"]

    def observe(self, value: float) -> None:
        """Count a validation without progress, and cut when there were too many; NaN is no progress."""
        memory = self.memory
        if self._better(value):
            memory.update(best=float(value), waited=0)
        else:
            memory["waited"] += 1
        if memory["waited"] > self.patience:
            memory.update(waited=0, scale=memory["scale"] * self.factor)

    def _better(self, value: float) -> bool:
        best = self.memory["best"]
        if best is None:
            return not math.isnan(value)
        return best - value > self.threshold * abs(best)

    def state(self) -> dict[str, Any]:
        """Return what has to be kept with a checkpoint."""
        return dict(self.memory)

    def restore(self, state: Mapping[str, Any]) -> None:
        """Continue from what `state` returned."""
        self.memory.update(state)


def swing(start: float, end: float, p: float) -> float:
    """Go from `start` to `end` on half a cosine."""
    return end + (start - end) * (1 + math.cos(math.pi * p)) / 2
