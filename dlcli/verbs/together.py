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
    members = {str(run): model}
    for name in config["committee"]:
        other = find(Path(config["paths"]["outputs"]), name)
        members[str(other)] = revive(other, config["checkpoint"], device, config["plugins"])
    if config["views"] != "none":
        for member in members.values():
            member.net = build({"_target_": VIEWS, "kind": config["views"]}, net=voter(member, "views").net)
    if len(members) == 1:
        return model, {}
    together = revive(run, config["checkpoint"], device, config["plugins"])
    nets = [voter(member, "committee", model).net for member in members.values()]
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
