"""Players: parameters that have an optimizer of their own."""

from collections.abc import Callable, Iterable
from fnmatch import fnmatchcase
from typing import Any

from torch import nn
from torch.optim import Optimizer

from dlcli.errors import ConfigError


class Player:
    """An optimizer, its parameters, and the learning rate that each group started with."""

    def __init__(self, name: str, optimizer: Optimizer):
        self.name, self.optimizer = name, optimizer
        self.parameters = [p for group in optimizer.param_groups for p in group["params"]]
        self.rates = [group["lr"] for group in optimizer.param_groups]

    def scale(self, factor: float) -> None:
        """Set every learning rate to `factor` times the one it started with."""
        for group, rate in zip(self.optimizer.param_groups, self.rates, strict=True):
            group["lr"] = rate * factor

    def forget(self) -> None:
        """Drop the gradients, as `Optimizer.zero_grad` does, but without its bookkeeping for profilers."""
        for p in self.parameters:
            p.grad = None


def players(
    model: Any,
    optimizer: Callable[..., Optimizer],
    by_player: dict[str, dict[str, Any]] | None = None,
    by_layer: dict[str, dict[str, Any]] | None = None,
) -> dict[str, Player]:
    """Give each player of a model its optimizer, with settings of its own by player name and by parameter pattern.

    Raises ConfigError for a player or pattern that fits nothing.
    """
    by_player, by_layer = by_player or {}, by_layer or {}
    named = {id(p): name for name, p in model.named_parameters()}
    wanted = model.players()
    for name in by_player.keys() - wanted.keys():
        raise ConfigError(
            f"players.{name}: {type(model).__name__} has no such player; it has {', '.join(wanted) or 'none'}"
        )
    unused = set(by_layer)
    made = {}
    for name, parameters in wanted.items():
        groups = [group for given in regroup(parameters) for group in split(given, by_layer, named, unused)]
        if groups:
            made[name] = Player(name, make(optimizer, groups, by_player.get(name, {})))
    if unused:
        raise ConfigError(f"layers: no parameter is named like {', '.join(sorted(unused))}; `dl show` lists the names")
    return made


def make(optimizer: Callable[..., Optimizer], groups: list[dict[str, Any]], settings: dict[str, Any]) -> Optimizer:
    """Return an optimizer of parameter groups. Raises ConfigError for settings that it does not have."""
    try:
        made = optimizer(groups, **settings)
    except (TypeError, ValueError, IndexError) as error:
        raise ConfigError(f"the optimizer cannot be made with these settings: {error}") from error
    known = {"params", *made.defaults}
    for name in {key for group in groups for key in group} - known:
        raise ConfigError(f"layers: {type(made).__name__} has no setting {name!r}; it has {', '.join(made.defaults)}")
    return made


def regroup(parameters: Iterable) -> list[dict[str, Any]]:
    """Return parameters or parameter groups as groups."""
    given = list(parameters)
    groups = given if given and isinstance(given[0], dict) else [{"params": given}]
    return [group | {"params": list(group["params"])} for group in groups if not isinstance(group, nn.Parameter)]


def split(group: dict[str, Any], by_layer: dict, named: dict[int, str], unused: set[str]) -> list[dict[str, Any]]:
    """Take the parameters whose names fit a pattern out of a group, into groups with that pattern's settings."""
    rest, parts = group["params"], []
    for pattern, settings in by_layer.items():
        fits = {id(p) for p in rest if fnmatchcase(named.get(id(p), ""), pattern)}
        if fits:
            unused.discard(pattern)
            parts.append(group | {"params": [p for p in rest if id(p) in fits]} | settings)
            rest = [p for p in rest if id(p) not in fits]
    return [*parts, *([group | {"params": rest}] if rest else [])]
