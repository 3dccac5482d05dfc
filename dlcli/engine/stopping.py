"""When to stop, and which epoch was best."""

import math
import time
from typing import Any


class Best:
    """The best score so far, and how long ago it was."""

    def __init__(self, monitor: str, rising: bool, patience: int | None = None):
        self.monitor, self.patience = monitor, patience
        self.sign = 1 if rising else -1
        self.score: float | None = None
        self.step = 0
        self.waited = 0
        self.seen = 0  # the step of the last score, good or bad

    def improved(self, score: float, step: int, counts: bool = True) -> bool:
        """Take in the score of an epoch. A score that is no number is never the best; of equal ones the first is.

        Patience waits for nothing while an epoch does not count.
        """
        better = math.isfinite(score) and (self.score is None or self.sign * score > self.sign * self.score)
        if better:
            self.score, self.step = score, step
        self.waited, self.seen = self.waited + 1 if counts and not better else 0, step
        return better

    @property
    def exhausted(self) -> bool:
        """Whether patience has run out."""
        return self.patience is not None and self.waited >= self.patience

    def state(self) -> dict[str, Any]:
        """Return plain data."""
        return {"score": self.score, "step": self.step, "waited": self.waited, "seen": self.seen}

    def restore(self, state: dict[str, Any]) -> None:
        """Take over saved data."""
        self.score, self.step, self.waited, self.seen = (state[key] for key in ("score", "step", "waited", "seen"))


class Deadline:
    """A span of time, in minutes; None never ends."""

    def __init__(self, minutes: float | None):
        self.end = math.inf if minutes is None else time.monotonic() + 60 * minutes

    def __bool__(self) -> bool:
        return time.monotonic() >= self.end
