"""What the training curves show: mean losses since the last point, gradient norms, rates, speed.

And whether a loss has jumped (a spike, of which trainings often recover) or exploded: still a number, but in most steps
of an epoch beyond any spike.
"""

import time
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from dlcli.engine.player import Player
from dlcli.errors import DivergedError

EXPLOSION = 1000  # times the first loss
SPIKE = 100  # times the usual loss of late
PACE = 0.02  # share of the newest loss in the usual one: it follows about fifty steps
NAMED = 8  # examples that the warning of a spike names


class Trace:
    """Adds up what happens between two points of the curves."""

    def __init__(self) -> None:
        self.sums: dict[str, float] = {}  # of losses, by player
        self.counts: dict[str, int] = {}  # of steps, by player
        self.first: dict[str, float] = {}  # loss of a player in the whole run
        self.blasts: dict[str, int] = {}  # steps of this epoch with an exploded loss, less the others, by player
        self.usual: dict[str, float] = {}  # size of the losses of late, by player
        self.spikes: dict[str, float] = {}  # loss of the last step where it jumped, by player
        self.warned: set[str] = set()  # players whose jump was told in this epoch
        self.mark: tuple[int, float] | None = None  # step and second of the last point of this epoch

    def begin(self, step: int) -> None:
        """Start the clock of the speed, so that validation between epochs does not count."""
        self.mark = (step, time.perf_counter())

    def add(self, name: str, loss: float) -> None:
        """Take in the loss of a player, or of a piece of its batch."""
        self.sums[name] = self.sums.get(name, 0.0) + loss
        size = abs(loss)
        if name in self.first:
            beyond = size > EXPLOSION * max(1.0, abs(self.first[name]))
            self.blasts[name] = self.blasts.get(name, 0) + (1 if beyond else -1)
            usual = self.usual[name]
            if size > SPIKE * max(usual, abs(self.first[name]) / SPIKE) and name not in self.warned:
                self.spikes[name] = loss
            self.usual[name] = usual + PACE * (size - usual)
        else:
            self.first[name] = loss
            self.usual[name] = size

    def warning(self, step: int, rows: Tensor) -> str:
        """Return what to say of the spikes of a step, once in an epoch; `rows` are the numbers of its examples."""
        name, loss = self.spikes.popitem()
        self.spikes = {}
        self.warned.add(name)
        more = f" and {len(rows) - NAMED} more" if len(rows) > NAMED else ""
        return (
            f"warning: step {step}: the loss of player {name!r} jumped to {loss:.3g}, more than {SPIKE} times what it "
            f"was of late; the batch held the training examples {', '.join(map(str, rows[:NAMED].tolist()))}{more}. "
            "If it does not recover, try a smaller optimizer.lr, or clip=1"
        )

    def end_epoch(self, step: int) -> None:
        """Forget the losses of an epoch. Raises DivergedError if most of them were explosions."""
        for name, balance in self.blasts.items():
            if balance > 0:
                raise DivergedError(
                    f"step {step}: the loss of player {name!r} exploded: it began at {self.first[name]:.3g}, and "
                    f"most losses of this epoch are above {EXPLOSION} times that. Try a smaller optimizer.lr, or clip=1"
                )
        self.blasts, self.warned = {}, set()

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

    def state(self) -> dict[str, Any]:
        """Return plain data."""
        names = ("sums", "counts", "first", "blasts", "usual")
        return {name: getattr(self, name) for name in names}

    def restore(self, state: dict[str, Any]) -> None:
        """Take over saved data."""
        self.sums, self.counts = state["sums"], state["counts"]
        self.first, self.blasts, self.usual = state["first"], state["blasts"], state["usual"]
