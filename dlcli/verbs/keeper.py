"""Keep a training: checkpoints when they are due or asked for, and a status that `dl ls runs` reads."""

import os
import platform
import time
from typing import Any

import torch

from dlcli.engine import state
from dlcli.engine.loop import Engine
from dlcli.engine.signals import Stop
from dlcli.engine.store import Store
from dlcli.errors import DivergedError
from dlcli.run import Run


class Keeper:
    """Saves an engine into a run folder: after so many seconds or steps, and on request."""

    def __init__(self, run: Run, engine: Engine, store: Store, settings: dict[str, Any], stop: Stop):
        self.run, self.engine, self.store, self.stop = run, engine, store, stop
        self.seconds, self.steps = settings["seconds"], settings["steps"]
        self.saved = time.monotonic()

    def step_end(self) -> None:
        """Save if a checkpoint is due, or if somebody asked for one."""
        late = time.monotonic() - self.saved >= self.seconds
        counted = self.steps and self.engine.clock.step % self.steps == 0
        if late or counted or self.stop.save:
            self.stop.save = False
            self.save("running")

    def save(self, status: str) -> None:
        """Write a checkpoint and the status. Raises DivergedError rather than keep weights that are no numbers."""
        engine = self.engine
        require_finite(engine.model)
        self.store.save(engine.clock.step, *state.capture(engine))
        self.note(status)
        self.saved = time.monotonic()

    def note(self, status: str) -> None:
        """Write the status of the run."""
        best, position = self.engine.best, self.engine.clock._asdict()
        told = {"state": status, "monitor": best.monitor, "score": best.score, "at": best.step, **position}
        told["rising"] = best.sign > 0
        self.run.write("status.json", told | {"pid": os.getpid(), "host": platform.node()})


def require_finite(model: torch.nn.Module) -> None:
    """Raise DivergedError if a weight is not a finite number."""
    for name, weights in model.named_parameters():
        if not weights.isfinite().all():
            raise DivergedError(
                f"{name}: a weight is not a finite number, so nothing is saved over the former checkpoint. "
                "Try a smaller optimizer.lr, clip=1, or precision=fp32"
            )
