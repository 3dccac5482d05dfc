"""Players: parameters that have an optimizer of their own."""

from collections.abc import Callable, Iterable
from fnmatch import fnmatchcase
from typing import Any

import torch
from torch import Tensor
from torch.nn.modules.conv import _ConvTransposeNd
from torch.optim import Optimizer

from dlcli.engine.freezing import heights
from dlcli.errors import ConfigError

ROUNDING = 1e-9  # 3 / 10 is a little less than 0.3


class Player:
    """An optimizer, the parameters that learn by now, and the learning rate that each group started with.

    `above` counts the layers between a parameter and the output: each of them multiplies the rate by `layer_decay`.
    `turned` are the groups of weights (in, out, ...), which stand the other way round in transposed convolutions.
    """

    def __init__(
        self,
        name: str,
        optimizer: Optimizer,
        above: dict[int, int] | None = None,
        layer_decay: float = 1.0,
        turned: dict[int, int] | None = None,
    ):
        self.name, self.optimizer, self.above, self.turned = name, optimizer, above or {}, turned or {}
        self.all = [p for group in optimizer.param_groups for p in group["params"]]
        self.parameters, self.waiting = self.all, list[Tensor]()
        self.rates = [
            group["lr"] * layer_decay ** self.above.get(id(group["params"][0]), 0) for group in optimizer.param_groups
        ]

    def wake(self, progress: float, thaw: float) -> None:
        """Let the layers learn one after the other, the last at once and the first when a share `thaw` is over."""
        top = max(self.above.values(), default=0)
        due = top if progress >= thaw else top * (progress / thaw) + ROUNDING
        self.parameters = [p for p in self.all if self.above.get(id(p), 0) <= due]
        self.waiting = [p for p in self.all if self.above.get(id(p), 0) > due]

    def scale(self, factor: float) -> None:
        """Set every learning rate to `factor` times the one it started with; what waits has no gradient to follow."""
        for group, rate in zip(self.optimizer.param_groups, self.rates, strict=True):
            group["lr"] = rate * factor
        for p in self.waiting:
            p.grad = None

    def forget(self) -> None:
        """Drop the gradients, as `Optimizer.zero_grad` does, but without its bookkeeping for profilers."""
        for p in self.parameters:
            p.grad = None

    @torch.no_grad()
    def shorten(self, limit: float) -> None:
        """Scale the incoming weights of each unit down to a largest norm (max-norm; Srivastava et al. 2014)."""
        for p in self.parameters:
            if p.ndim > 1:
                groups = self.turned.get(id(p))
                units = p[None] if groups is None else p.unflatten(0, (groups, -1)).transpose(1, 2)  # (G, units, ...)
                norms = units.flatten(2).norm(dim=2).clamp_min(1e-12)
                units.mul_((limit / norms).clamp_max(1.0).view(*norms.shape, *[1] * (units.ndim - 2)))


def players(
    model: Any,
    optimizer: Callable[..., Optimizer],
    by_player: dict[str, dict[str, Any]] | None = None,
    by_layer: dict[str, dict[str, Any]] | None = None,
    layer_decay: float = 1.0,
) -> dict[str, Player]:
    """Give each player of a model its optimizer, with settings of its own by player name and by parameter pattern.

    Raises ConfigError for a player or pattern that fits nothing, and for a player of which nothing learns.
    """
    by_player, by_layer = by_player or {}, by_layer or {}
    named = {id(p): name for name, p in model.named_parameters()}
    wanted = {name: list(parameters) for name, parameters in model.players().items()}
    for name in by_player.keys() - wanted.keys():
        raise ConfigError(
            f"players.{name}: {type(model).__name__} has no such player; it has {', '.join(wanted) or 'none'}"
        )
    turning = [m for m in model.modules() if isinstance(m, _ConvTransposeNd)]
    turned = {id(p): layer.groups for layer in turning for p in layer.parameters(recurse=False)}
    unused = set(by_layer)
    made = {}
    for name, parameters in wanted.items():
        groups = [group for given in regroup(parameters) for group in split(given, by_layer, named, unused)]
        if parameters and not groups:
            raise ConfigError(f"nothing of player {name} is left to learn; freeze less, or name more in learn=[...]")
        mine = {id(p) for group in groups for p in group["params"]}
        above = heights((name, p) for name, p in model.named_parameters() if id(p) in mine)
        if layer_decay != 1:
            groups = [part for group in groups for part in by_height(group, above)]
        if groups:
            made[name] = Player(name, make(optimizer, groups, by_player.get(name, {})), above, layer_decay, turned)
    if unused:
        raise ConfigError(
            f"layers: no parameter is named like {', '.join(sorted(unused))} and learns; `dl show` lists the names"
        )
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
    """Return parameters or parameter groups as groups, without those that do not learn."""
    given = list(parameters)
    groups = given if given and isinstance(given[0], dict) else [{"params": given}]
    return [group | {"params": [p for p in group["params"] if p.requires_grad]} for group in groups]


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


def by_height(group: dict[str, Any], above: dict[int, int]) -> list[dict[str, Any]]:
    """Cut a group into one for each layer, the last layer first."""
    levels = sorted({above.get(id(p), 0) for p in group["params"]})
    return [group | {"params": [p for p in group["params"] if above.get(id(p), 0) == level]} for level in levels]
