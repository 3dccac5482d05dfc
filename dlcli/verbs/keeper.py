"""Keep a training: checkpoints when they are due, and a status that `dl ls runs` reads."""

import os
import platform
import time
from typing import Any

from dlcli.engine import checkpoint, state
from dlcli.engine.loop import Engine
from dlcli.run import Run


class Keeper:
    """Saves an engine into a run folder, at most every so many seconds while it learns."""

    def __init__(self, run: Run, engine: Engine, seconds: float):
        self.run, self.engine, self.seconds = run, engine, seconds
        self.saved = time.monotonic()

    def due(self) -> bool:
        """Tell whether the last checkpoint is old enough for another."""
        return time.monotonic() - self.saved >= self.seconds

    def save(self, status: str) -> None:
        """Write the best weights and then the whole state, so that the state never names weights that are not there."""
        best, position = self.engine.best, self.engine.clock._asdict()
        folder = self.run / "checkpoints"
        if self.engine.best_weights:
            weights = {f"model/{name}": value for name, value in self.engine.best_weights.items()}
            checkpoint.write(folder / "best.safetensors", weights, {"best": best.state()})
        checkpoint.write(folder / "last.safetensors", *state.capture(self.engine))
        self.note(status, position)
        self.saved = time.monotonic()

    def note(self, status: str, position: dict[str, Any]) -> None:
        """Write the status of the run."""
        best = self.engine.best
        self.run.write(
            "status.json",
            {
                "state": status,
                "monitor": best.monitor,
                "score": best.score,
                "at": best.step,
                "pid": os.getpid(),
                "host": platform.node(),
                **position,
            },
        )
