"""The whole state of a training, as tensors and plain data, so that a resumed run continues to the same bits."""

import math
from collections.abc import Iterable
from typing import Any

from torch import Tensor

from dlcli.engine import checkpoint, randomness
from dlcli.engine.loop import Engine
from dlcli.errors import CheckpointError
from dlcli.model import Clock

HANDS = ("step", "steps", "epoch")  # of the clock that outlive a batch


def capture(engine: Engine) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Return everything that the rest of the training depends on; the random streams are read first."""
    streams, plain_streams = randomness.state()
    tensors = {f"random/{name}": value for name, value in streams.items()}
    tensors |= {f"model/{name}": value for name, value in engine.model.state_dict().items()}
    tensors |= {f"best/{name}": value for name, value in engine.best_weights.items()}
    if engine.average:
        tensors |= {f"average/{name}": value for name, value in engine.average.state().items()}
    optimizers = {}
    for name, player in engine.players.items():
        state, optimizers[name] = checkpoint.flatten(player.optimizer)
        tensors |= {f"optimizer/{name}/{key}": value for key, value in state.items()}
    plain = {
        "clock": {name: getattr(engine.clock, name) for name in HANDS},
        "position": engine.position,
        "pieces": engine.pieces,
        "traces": engine.traces.state(),
        "optimizers": optimizers,
        "scaler": engine.precision.scaler.state_dict(),
        "schedule": engine.schedule.state(),
        "best": engine.best.state(),
        "random": plain_streams,
    }
    return tensors, plain


def restore(engine: Engine, tensors: dict[str, Tensor], plain: dict[str, Any], source: Any, fork: bool = False) -> None:
    """Put an engine where a checkpoint was taken; the random streams last. Raises CheckpointError.

    A `fork` keeps the settings of its own optimizers: they may be what was changed. An optimizer or a schedule of
    another kind than the saved one begins anew.
    """
    try:
        clock = Clock(**{name: plain["clock"][name] for name in HANDS})
        position, pieces = plain["position"], plain["pieces"]
        require([clock.step, clock.steps, clock.epoch, position], int, 0)
        require([clock.steps, pieces], int, 1)
        require_traces(plain["traces"])
        checkpoint.apply(engine.model, checkpoint.part(tensors, "model"), source)
        for name, player in engine.players.items():
            saved, groups = plain["optimizers"][name], checkpoint.flatten(player.optimizer)[1]["groups"]
            if fork and not same_kind(groups, saved["groups"]):
                continue
            if not fork:
                require_alike(groups, saved["groups"])
                groups = saved["groups"]
            state = checkpoint.part(tensors, f"optimizer/{name}")
            checkpoint.unflatten(player.optimizer, state, saved | {"groups": groups})
        if engine.average:
            engine.average.restore(checkpoint.part(tensors, "average"))
        engine.traces.restore(plain["traces"])
        engine.clock, engine.position, engine.pieces = clock, position, pieces
        engine.precision.scaler.load_state_dict(plain["scaler"])
        if not fork or same_kind([engine.schedule.state()], [plain["schedule"]]):
            require_alike(engine.schedule.state(), plain["schedule"])
            engine.schedule.restore(plain["schedule"])
        require_alike(engine.best.state(), plain["best"])
        engine.best.restore(plain["best"])
        engine.best_weights = checkpoint.part(tensors, "best")
        if engine.best.score is not None:
            checkpoint.compare(engine.model, engine.best_weights, source)
        randomness.restore(checkpoint.part(tensors, "random"), plain["random"])
    except (LookupError, TypeError, ValueError, AttributeError, RuntimeError, OverflowError) as error:
        raise CheckpointError(
            f"{source}: incomplete, {error} is missing or unfit; the run cannot be continued from it"
        ) from error


def same_kind(mine: list[dict[str, Any]], saved: list[dict[str, Any]]) -> bool:
    """Tell whether groups of settings have the same names: those of another optimizer or schedule have others."""
    return [group.keys() for group in mine] == [group.keys() for group in saved]


def require(values: Iterable[Any], kind: type[float], low: float) -> None:
    """Raise ValueError unless all values are of a kind and within reason: the file may be a stranger's."""
    for value in values:
        if type(value) is not kind or value < low or math.isnan(value) or (kind is int and value >= 2**63):
            raise ValueError(f"the number {value!r}")


def require_traces(traces: dict[str, dict[str, Any]]) -> None:
    """Raise ValueError or KeyError unless sums and counts of losses fit together."""
    require(traces["counts"].values(), int, 1)
    require(traces["blasts"].values(), int, -math.inf)
    require([*traces["sums"].values(), *traces["first"].values()], float, -math.inf)
    require(traces["usual"].values(), float, 0)
    for some, known in (("sums", "counts"), ("blasts", "first"), ("first", "usual")):
        if lost := traces[some].keys() - traces[known].keys():
            raise KeyError(f"{known} of {', '.join(sorted(lost))}")


def require_alike(mine: Any, saved: Any) -> None:
    """Raise ValueError unless what was saved has the keys, lengths, types and switches of what is there."""
    if isinstance(mine, dict):
        for key in mine.keys() | saved.keys():
            require_alike(mine[key], saved[key])
    elif isinstance(mine, (list, tuple)):
        for one, other in zip(mine, saved, strict=True):
            require_alike(one, other)
    elif mine is None or type(mine) in (int, float):  # a number may come late
        number = type(saved) in (int, float) and not math.isnan(saved)
        if not number and (mine is not None or saved is not None):
            raise ValueError(f"{saved!r} in the place of {mine!r}")
    elif type(mine) is not type(saved) or mine != saved:
        raise ValueError(f"{saved!r} in the place of {mine!r}")
