"""The loop. It trains any `Model`: moves through the data, steps the players, scores the splits, keeps the best.

There is no family in here: what a family needs, its rule says by what it yields.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from dlcli.engine.average import averaging
from dlcli.engine.freezing import freeze
from dlcli.engine.pieces import cut, least, out_of_memory, shares
from dlcli.engine.player import Player, players
from dlcli.engine.precision import Precision
from dlcli.engine.scoring import Halted, measure
from dlcli.engine.stopping import Best, Deadline
from dlcli.engine.trace import Trace
from dlcli.errors import ConfigError, DivergedError, OutOfMemoryError
from dlcli.model import Clock, Model, Update
from dlcli.schedules import Constant, Schedule


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How long to learn, and with which remedies; each field is a config key of that name."""

    seed: int = 0
    epochs: int = 10
    max_steps: int | None = None
    max_time: float | None = None
    accumulate: int = 1
    ema: float | None = None
    swa: float | None = None
    max_norm: float | None = None
    patience: int | None = None
    monitor: str | None = None
    every: int = 50
    players: dict[str, dict[str, Any]] = field(default_factory=dict)
    layers: dict[str, dict[str, Any]] = field(default_factory=dict)
    layer_decay: float = 1.0
    thaw: float = 0.0
    freeze: Sequence[str] = ()
    learn: Sequence[str] = ()


class Engine:
    """A model in training: its players, precision, schedule and position."""

    def __init__(
        self,
        model: Model,
        optimizer: Callable[..., torch.optim.Optimizer],
        *,
        settings: Settings,
        precision: Precision,
        schedule: Schedule | None = None,
        log: Any = None,
    ):
        self.model, self.settings, self.precision, self.log = model, settings, precision, log
        self.schedule = schedule or Constant()
        self.held = freeze(model, settings.freeze, settings.learn)
        self.players = players(model, optimizer, settings.players, settings.layers, settings.layer_decay)
        self.average = averaging(model, settings.ema, settings.swa)
        monitor = settings.monitor or model.monitor
        self.best = Best(monitor, monitor in model.rising, settings.patience)
        self.best_weights: dict[str, Tensor] = {}
        self.clock, self.position = Clock(0, 1), 0
        self.pieces, self.least = settings.accumulate, least(model)
        self.traces = Trace()

    def fit(
        self,
        train: Any,
        valid: Any,
        stop: Any = False,
        step_end: Callable[[], None] = lambda: None,
        epoch_end: Callable[[dict[str, float]], None] = lambda scores: None,
    ) -> bool:
        """Learn until the end, the deadline, the end of patience, or `stop`; tell whether the run is complete.

        At every `step_end`, and when it returns, the engine can be saved, to be continued to the same bits.
        """
        planned = self.settings.epochs * len(train)
        self.clock = self.clock._replace(steps=min(planned, self.settings.max_steps or planned))
        deadline = Deadline(self.settings.max_time)
        while not self.best.exhausted and (self.clock.step < self.clock.steps or self.best.seen < self.clock.step):
            if self.clock.step < self.clock.steps:  # else a stop came between the last step and its score
                self.train_epoch(train, lambda: stop or deadline, step_end)
            if stop:
                return False
            self.traces.end_epoch(self.clock.step)
            try:
                scores = self.score(valid, stop)
            except Halted:
                return False
            self.finish_epoch(scores, early=self.position < len(train))
            epoch_end(scores)
            if deadline:
                break
        if self.best.score is None:
            raise DivergedError(f"{self.best.monitor}: not a finite number in any epoch; try a smaller optimizer.lr")
        return True

    def train_epoch(self, train: Any, ended: Callable[[], Any], step_end: Callable[[], None] = lambda: None) -> None:
        """Learn from the rest of the current epoch, or until `ended`."""
        self.model.train()
        for layer in self.held:
            layer.eval()
        self.traces.begin(self.clock.step)
        for batch in train.epoch(self.clock.epoch, self.position):
            self.learn(batch)
            if self.traces.spikes and self.log:
                self.log.say(self.traces.warning(self.clock.step, train.rows(self.clock.epoch, self.position)))
            self.position += 1
            self.clock = self.clock._replace(step=self.clock.step + 1)
            if self.clock.step % self.settings.every == 0:
                self.trace()
            step_end()
            if ended() or self.clock.step >= self.clock.steps:
                break

    def learn(self, batch: Any) -> None:
        """Take every step that the model asks for on one batch; in the first epoch, cut it if memory runs out."""
        watched = self.log is not None and (self.clock.step + 1) % self.settings.every == 0
        self.precision.norms = {} if watched else None
        for player in self.players.values() if self.settings.thaw else ():
            player.wake(self.clock.progress, self.settings.thaw)
        while True:
            try:
                self.take_steps(batch)
                break
            except RuntimeError as error:
                if not out_of_memory(error):
                    raise
                self.cut_further(batch, error)
        if self.average:
            self.average.update(self.clock)

    def take_steps(self, batch: Any) -> None:
        """Run the rule on every piece of the batch in step: their i-th yields share one optimizer step."""
        parts = cut(batch, self.pieces, self.least)
        runs: list[tuple[Iterator[Update], float | None]]
        if len(parts) == 1:
            runs = [(self.model.updates(batch, self.clock), None)]
        else:
            clocks = [self.clock._replace(share=part.size / batch.size) for part in parts]
            runs = list(zip(map(self.model.updates, parts, clocks), shares(self.model, parts), strict=True))
        while True:
            player, by_hand = None, False
            for updates, share in runs:
                with self.precision.forward():
                    update = next(updates, None)  # what follows the last yield belongs to every piece
                if update is not None:
                    player, by_hand = self.player_of(update), update.loss is None
                    self.gather(player, update, share)
            if player is None:
                return
            self.step(player, by_hand)

    def gather(self, player: Player, update: Update, share: float | None) -> None:
        """Add the gradient of one piece of a batch, and note its loss."""
        if update.loss is None:
            if share is not None:
                rule = type(self.model).__name__
                raise ConfigError(f"accumulate={self.pieces}: {rule} writes its gradients itself; use accumulate=1")
            return
        if share == 0:  # nothing is asked for in this piece, and the mean of nothing is no number
            return
        loss = update.loss if share is None else update.loss * share
        self.traces.add(player.name, self.precision.backward(player, loss, self.clock.step))

    def step(self, player: Player, by_hand: bool) -> None:
        """Step one player at the rate of the hour."""
        player.scale(self.schedule(self.clock.progress))
        self.precision.step(player, self.clock.step, by_hand)
        self.traces.stepped(player.name)
        if self.settings.max_norm:
            player.shorten(self.settings.max_norm)

    def player_of(self, update: Update) -> Player:
        """Return the player that a rule yielded. Raises ConfigError for rules that break the contract."""
        rule = type(self.model).__name__
        if not torch.is_grad_enabled():
            torch.set_grad_enabled(True)
            raise ConfigError(f"{rule}.updates yields inside torch.no_grad(); move the yield out of that block")
        if update.player not in self.players:
            raise ConfigError(f"{rule} has no player {update.player!r}; its players are {', '.join(self.players)}")
        return self.players[update.player]

    def cut_further(self, batch: Any, error: RuntimeError) -> None:
        """Halve the pieces of a batch after memory ran out, so that the same batch still makes one step."""
        for player in self.players.values():
            player.forget()
        if self.clock.epoch > 0 or self.pieces >= batch.size:
            raise OutOfMemoryError(
                f"out of memory at batch={batch.size}, accumulate={self.pieces}; use a smaller batch"
            ) from error
        self.pieces *= 2
        if self.log:
            self.log.say(
                f"out of memory: batches are cut into {self.pieces} pieces from now on (accumulate={self.pieces})"
            )

    def evaluated(self) -> AbstractContextManager[None]:
        """Return a context in which the averaged weights, if there are any, stand in for the others."""
        return self.average.applied() if self.average else nullcontext()

    def score(self, batches: Any, stop: Any = False) -> dict[str, float]:
        """Return the scores of a split, with the averaged weights if there are any. Raises Halted on `stop`."""
        return self.model.score(self.measure(batches, stop))

    def measure(self, batches: Any, stop: Any = False) -> dict[str, Tensor]:
        """Return what the model measures on a split, with the averaged weights if there are any."""
        with self.evaluated():
            return measure(self.model, batches, self.precision, self.settings.seed, stop)

    def finish_epoch(self, scores: dict[str, float], early: bool) -> None:
        """Note the scores of an epoch, remember the weights if they are the best, and go on to the next."""
        counts = not self.model.ahead(self.clock)
        if self.best.improved(scores[self.best.monitor], self.clock.step, counts):
            self.best_weights = self.weights()
        if counts:
            self.schedule.observe(-self.best.sign * scores[self.best.monitor])  # the lower the better
        if self.log:
            self.log.scalars({f"valid/{name}": value for name, value in scores.items()}, self.clock.step)
        if not early:
            self.clock, self.position = self.clock._replace(epoch=self.clock.epoch + 1), 0

    def weights(self) -> dict[str, Tensor]:
        """Return a copy of the weights that are evaluated."""
        with self.evaluated():
            return {name: value.detach().clone() for name, value in self.model.state_dict().items()}

    def trace(self) -> None:
        """Log a point of the training curves."""
        if self.log is None:
            return
        values = self.traces.point(self.players, self.precision.norms or {}, self.clock.step)
        self.log.scalars(values, self.clock.step)
        losses = [f"{name.removeprefix('train/')} {value:.4g}" for name, value in values.items() if "loss" in name]
        self.log.tick(self.clock.step, f"epoch {self.clock.epoch + 1}  {'  '.join(losses)}")
