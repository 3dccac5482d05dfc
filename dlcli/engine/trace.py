"""What the training curves show: mean losses since the last point, gradient norms, rates, speed."""

import time
from collections.abc import Mapping

from torch import Tensor

from dlcli.engine.player import Player


class Trace:
    """Adds up what happens between two points of the curves."""

    def __init__(self) -> None:
        self.sums: dict[str, float] = {}  # of losses, by player
        self.counts: dict[str, int] = {}  # of steps, by player
        self.mark: tuple[int, float] | None = None  # step and second of the last point of this epoch

    def begin(self, step: int) -> None:
        """Start the clock of the speed, so that validation between epochs does not count."""
        self.mark = (step, time.perf_counter())

    def add(self, name: str, loss: float) -> None:
        """Take in the loss of a player, or of a piece of its batch."""
        self.sums[name] = self.sums.get(name, 0.0) + loss

    def stepped(self, name: str) -> None:
        """Take note that a player moved."""
        self.counts[name] = self.counts.get(name, 0) + 1

    def point(self, players: Mapping[str, Player], norms: Mapping[str, Tensor], step: int) -> dict[str, float]:
        """Return the next point of the curves, and begin anew."""
        tags = {name: f"/{name}" if len(players) > 1 else "" for name in players}
        values = {f"train/loss{tags[name]}": total / self.counts[name] for name, total in self.sums.items()}
        values |= {f"train/gradient norm{tags[name]}": float(norm) for name, norm in norms.items()}
        values |= {f"train/rate{tags[name]}": p.optimizer.param_groups[0]["lr"] for name, p in players.items()}
        if self.mark:
            values["speed/steps per second"] = (step - self.mark[0]) / (time.perf_counter() - self.mark[1])
        self.sums, self.counts = {}, {}
        self.begin(step)
        return values
