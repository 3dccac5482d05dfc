"""Let several runs, or several looks at each picture, answer together in `dl eval`."""

from typing import Any

import torch

from dlcli.config.build import build
from dlcli.errors import ConfigError
from dlcli.run import Run, find
from dlcli.verbs.common import revive

COMMITTEE, VIEWS = "dlcli.nets.committee.Committee", "dlcli.nets.committee.Views"


def assemble(run: Run, config: dict[str, Any], device: torch.device) -> tuple[Any, dict[str, Any]]:
    """Return the model that is to answer, and its members by name if there are several. Raises ConfigError."""
    from pathlib import Path

    model = revive(run, config["checkpoint"], device, config["plugins"])
    others = [find(Path(config["paths"]["outputs"]), name) for name in config["committee"]]
    members = {str(run): model}
    members |= {str(other): revive(other, config["checkpoint"], device, config["plugins"]) for other in others}
    if config["views"] != "none":
        for member in members.values():
            member.net = build({"_target_": VIEWS, "kind": config["views"]}, net=voter(member, "views").net)
    if len(members) == 1:
        return model, {}
    together = revive(run, config["checkpoint"], device, config["plugins"])
    nets = [voter(member, "committee", model).net for member in members.values()]
    for other in others:
        require_same_inputs(run, other)
    together.net = build({"_target_": COMMITTEE}, members=nets)
    return together.eval(), members


def voter(member: Any, key: str, first: Any = None) -> Any:
    """Return a classifier. Raises ConfigError for what is none, or tells other classes apart than the first."""
    names = getattr(member, "names", None)
    if not hasattr(member, "net") or not hasattr(member, "classes"):
        raise ConfigError(f"{key}: {type(member).__name__} gives no probabilities of classes; it works on classifiers")
    if first is not None and names != first.names:
        raise ConfigError(f"{key}: one run tells {first.names} apart, another {names}; they must be the same classes")
    return member


def require_same_inputs(run: Run, other: Run) -> None:
    """Raise ConfigError if a run of the committee learned from examples of another shape."""
    shapes = [
        tuple(each.record["config"]["data"].get(fact) for fact in ("channels", "height", "width", "features"))
        for each in (run, other)
    ]
    if shapes[0] != shapes[1]:
        sizes = ["x".join(str(number) for number in shape[:3] if number) or f"{shape[3]} features" for shape in shapes]
        raise ConfigError(
            f"committee: {other} learned from examples of {sizes[1]}, this run from {sizes[0]}; they must be alike"
        )
