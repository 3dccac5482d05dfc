"""Start a net from the weights of another run, by name and shape.

What is taken computes what it computed there: statistics of normalization layers and the mean and standard deviation of
the input belong to the weights that learned behind them, so they come along unless `only` leaves them out. What a rule
calls `local`, such as examples that it remembers, stays behind.
"""

from collections.abc import Container, Iterable, Mapping
from typing import NamedTuple

import torch
from torch import Tensor, nn

from dlcli.engine.freezing import require
from dlcli.engine.lora import fits, is_factor, plain
from dlcli.errors import CheckpointError, ConfigError

SHOWN = 4  # names in one line; the record of the run has all


class Taken(NamedTuple):
    """What a net took from another run."""

    names: list[str]
    left: dict[str, str]  # names of this net that were not taken, and why

    def __str__(self) -> str:
        found = f"{len(self.names)} of {len(self.names) + len(self.left)} tensors taken"
        left = [f"{name} ({reason})" for name, reason in self.left.items()]
        more = f" and {len(left) - SHOWN} more" if len(left) > SHOWN else ""
        return f"{found}; not taken: {', '.join(left[:SHOWN])}{more}" if left else found


@torch.no_grad()
def take(
    model: nn.Module,
    weights: Mapping[str, Tensor],
    source: object,
    only: Iterable[str] = (),
    names: Mapping[str, str] | None = None,
    local: Container[str] = (),
) -> Taken:
    """Copy into a model what fits by name and shape; `names` says how modules that are called otherwise there are here.

    What is called `local`, or stands in a module of that name, keeps its value.

    Raises ConfigError if no weight fits, and CheckpointError for one that holds no finite numbers.
    """
    for there in names or {}:
        if not any(name.startswith(f"{there}.") for name in weights):
            modules = ", ".join(sorted({name.partition(".")[0] for name in weights}))
            raise ConfigError(f"init_names: {source} has no module {there!r}; it has {modules}")
    given = {renamed(name, names or {}): value for name, value in weights.items()}
    mine = common(model, local)
    require(mine, init_only=only)
    taken = Taken([], {})
    for name, value in mine.items():
        reason = "left out" if only and not fits(name, only) else misfit(given.get(name), value)
        if reason:
            taken.left[name] = reason
        elif not given[name].isfinite().all():
            raise CheckpointError(f"{source}: {name} is not finite; nothing can start from it")
        else:
            value.copy_(given[name])
            taken.names.append(name)
    weighty = {plain(name) for name, p in model.named_parameters() if p.ndim > 1}  # a bias may fit by chance
    if not weighty:
        raise ConfigError(f"init_from={source}: {type(model).__name__} descends no loss and starts from no other run")
    if weighty.isdisjoint(taken.names):
        raise ConfigError(
            f"init_from={source}: no weight fits by name and shape; there: {listing(given)}; here: {listing(mine)}. "
            "Where only the names differ, say how: init_names={encoder:net}"
        )
    return taken


def common(model: nn.Module, local: Container[str]) -> dict[str, Tensor]:
    """Return the tensors of a model that may come from another run."""
    return {
        plain(name): value
        for name, value in model.state_dict().items()
        if not is_factor(name) and name.partition(".")[0] not in local
    }


def renamed(name: str, names: Mapping[str, str]) -> str:
    """Return the name here of a tensor there."""
    for there, here in names.items():
        if name.startswith(f"{there}."):
            return f"{here}{name[len(there) :]}"
    return name


def misfit(there: Tensor | None, here: Tensor) -> str:
    """Return why a tensor cannot be taken, or nothing."""
    if there is None:
        return "not there"
    if there.shape != here.shape:
        return f"{size(there)} there, {size(here)} here"
    return "" if there.dtype == here.dtype else f"{there.dtype} there, {here.dtype} here"


def listing(tensors: Mapping[str, Tensor]) -> str:
    """Return the first names and shapes."""
    return ", ".join(f"{name} ({size(value)})" for name, value in sorted(tensors.items())[:SHOWN]) or "nothing"


def size(value: Tensor) -> str:
    """Return a shape as people write it."""
    return " x ".join(map(str, value.shape)) or "one number"
