"""`dl verify`: see for yourself that an interruption changes nothing.

From the newest checkpoint of a run it trains some steps at a stretch, then the same steps with a save, a new start and
a load in their middle, and compares everything that a checkpoint holds, bit for bit. It writes nothing.
"""

from typing import Any

import torch
from torch import Tensor

from dlcli.config.check import check
from dlcli.engine import checkpoint, state
from dlcli.engine.store import Store
from dlcli.errors import CheckpointError, ConfigError
from dlcli.run import Run
from dlcli.verbs.prepare import prepare
from dlcli.verbs.resume import continued

Saved = tuple[dict[str, Tensor], dict[str, Any]]


class Countdown:
    """A stop that comes true after so many steps."""

    def __init__(self, steps: int):
        self.left = steps

    def __bool__(self) -> bool:
        return self.left <= 0

    def step_end(self) -> None:
        """Count a step."""
        self.left -= 1


def verify(run: Run, config: dict[str, Any]) -> None:
    """Compare an unbroken and an interrupted training. Raises CheckpointError if they differ in a single bit."""
    steps, half = config["steps"], config["steps"] // 2
    if not half:
        raise ConfigError("steps=1: one step has no middle to be interrupted in; use steps=2 or more")
    longer = endless(run, config)
    content = checkpoint.encode(*Store(run / "checkpoints").newest())
    whole = go_on(run, longer, content, steps)
    middle = checkpoint.encode(*go_on(run, longer, content, half))
    broken = go_on(run, longer, middle, steps - half)
    differing = differences(whole, broken)
    if differing:
        raise CheckpointError(
            f"{run}: {len(differing)} of {len(whole[0])} tensors differ after an interruption, first {differing[0]}; "
            "on a GPU train with deterministic=true for the same bits"
        )
    print(f"{run}: equal to the bit, with and without an interruption")
    first = whole[1]["clock"]["step"] - steps
    print(f"{len(whole[0])} tensors and every counter, {steps} steps on from step {first} (interrupted after {half})")


def go_on(run: Run, config: Any, content: bytes, steps: int) -> Saved:
    """Return the state so many steps after a saved one, in objects that know nothing of former ones."""
    setup = prepare(config.copy())
    state.restore(setup.engine, *checkpoint.decode(content, run), run)
    count = Countdown(steps)
    setup.engine.fit(setup.train, setup.valid, count, count.step_end)
    return state.capture(setup.engine)


def endless(run: Run, config: dict[str, Any]) -> Any:
    """Return the config of a run that has so many more steps to go. Raises DlError, as if it were to be resumed."""
    now = check("train", [])
    now.plugins, now.paths, now.resume = config["plugins"], config["paths"], str(run)
    longer = continued(run, now, ["max_steps=null", "max_time=null", "patience=null"])
    longer.resume, longer.init_from = now.resume, None  # the checkpoint has it all
    longer.epochs += config["steps"]
    return longer


def differences(one: Saved, other: Saved) -> list[str]:
    """Return the names of what is not the same in two states."""
    names = sorted(one[0].keys() | other[0].keys())
    tensors = [name for name in names if not same(one[0].get(name), other[0].get(name))]
    return tensors + [name for name in one[1] if one[1][name] != other[1].get(name)]


def same(a: Tensor | None, b: Tensor | None) -> bool:
    """Tell whether two tensors hold the same bits."""
    return a is not None and b is not None and a.dtype == b.dtype and torch.equal(a.cpu(), b.cpu())
