"""Who is attacked, through whom, and on which pictures."""

from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from dlcli.attacks.objective import read
from dlcli.attacks.substitute import mimic
from dlcli.attacks.victim import Counted, Together, fingerprint, likeness
from dlcli.config.build import build
from dlcli.data.loader import Loader
from dlcli.data.serving import serve
from dlcli.data.splits import pick
from dlcli.engine.randomness import aside
from dlcli.errors import ConfigError, DlError
from dlcli.model import Model
from dlcli.run import Run, find, runs
from dlcli.verbs.common import load_data, pick_device, revive, split_of

PICTURE, MIMIC = "dlcli.nets.layers.Picture", "dlcli.nets.cnn.SmallCNN"  # a net that any victim can be mimicked by
SHOWN = 5  # runs that are named in an advice


@dataclass(frozen=True)
class Stage:
    """All that an attack needs, whatever its method."""

    run: Run
    config: dict[str, Any]
    victim: Any
    source: Any  # whose gradients are followed: the victim, or others in its stead
    through: str | None  # who they are
    examples: Loader
    others: Loader  # of the validation split, to learn from
    device: torch.device
    asked: int  # labels that a substitute was given
    likeness: str  # of the examples as the data set has them
    twin: Any = None  # a net without the defence, on which the attack must succeed


def stage(run: Run, config: dict[str, Any]) -> Stage:
    """Return victim, source and pictures. Raises ConfigError for a run that is no classifier of pictures."""
    record, device = run.record, pick_device(config["device"]).device
    victim = classifier(run, config, device)
    splits = load_data(record["config"]["data"], config["paths"]["data"], config["plugins"])
    chosen = split_of(splits, config["split"], record)
    some = pick(chosen, torch.arange(min(config["n"] or chosen.size, chosen.size)))
    examples = serve(some, size=config["batch"], shuffle=False, device=device)
    known = split_of(splits, "train" if config["split"] == "valid" else "valid", record)
    few = pick(known, torch.arange(min(max(1000, config["substitute"]["queries"]), known.size)))
    others = serve(few, size=config["batch"], shuffle=False, device=device)
    source, through, asked = victim, None, 0
    if config["transfer_from"] is not None and config["substitute"]["queries"]:
        raise ConfigError("transfer_from and substitute.queries: a picture is made through one of them; drop the other")
    if config["transfer_from"] is not None:
        source, through = surrogates("transfer_from", run, victim, config, device)
    if config["substitute"]["queries"]:
        source, asked = substitute(record, victim, others, config, device)
        through = f"a substitute that learned {asked} labels"
    twin = None if config["twin"] is None else surrogates("twin", run, victim, config, device)[0]
    known_by = likeness((batch.x, batch.y) for batch in examples.epoch(0))
    return Stage(run, config, victim, source, through, examples, others, device, asked, known_by, twin)


def classifier(run: Run, config: dict[str, Any], device: torch.device) -> Any:
    """Return the model of a run, if it classifies pictures. Raises ConfigError."""
    kind = run.record["config"]["data"].get("kind")
    if kind != "images" or "classes" not in run.record["config"]["data"]:
        raise ConfigError(f"{run} was trained on {kind} data, not on pictures of classes; {advice(config)}")
    if not classifies(run, config["plugins"]):
        rule = run.record["config"]["model"]["_target_"].rpartition(".")[2]
        raise ConfigError(f"{run} holds {rule}, which does not classify; {advice(config)}")
    return revive(run, config["checkpoint"], device, config["plugins"])


def classifies(run: Run, plugins: Iterable[str]) -> bool:
    """Tell whether the rule of a run answers pictures with classes. Raises DlError for what is no run."""
    data, name = run.record["config"]["data"], run.record["config"]["model"].get("_target_")
    rule = build({"_target_": name, "_partial_": True}, plugins).func  # the class alone, with no net
    return data.get("kind") == "images" and "classes" in data and getattr(rule, "forward", None) is not Model.forward


def advice(config: dict[str, Any]) -> str:
    """Name the newest runs that can be attacked."""
    found: list[Run] = []
    for run in reversed(runs(Path(config["paths"]["outputs"]))):
        with suppress(DlError):  # what is damaged
            found += [run] if classifies(run, config["plugins"]) else []
        if len(found) == SHOWN:
            break
    names = ", ".join(str(run) for run in found)
    return f"attack a classifier of pictures: {names or 'train one with `dl train model=lenet`'}"


def surrogates(key: str, run: Run, victim: Any, config: dict[str, Any], device: torch.device) -> tuple[Any, str]:
    """Return the runs that a key names as one classifier, and their names. Raises ConfigError for the victim itself."""
    names = config[key] if isinstance(config[key], list) else [config[key]]
    others = [find(Path(config["paths"]["outputs"]), str(name)) for name in names]
    if not others:
        raise ConfigError(f"{key}=[]: name a run, or several; `dl ls runs` lists yours")
    models = [classifier(other, config, device) for other in others]
    for other, model in zip(others, models, strict=True):
        if fingerprint(model) == fingerprint(victim):
            raise ConfigError(f"{key}={other}: it has the weights of {run}; take a run of another seed")
        mine, its = (some.record["config"]["data"].get("names") for some in (run, other))
        if mine != its:
            raise ConfigError(f"{key}={other}: it tells {its} apart, {run} {mine}; they must be the same")
    return Together(models), ", ".join(str(other) for other in others)


def substitute(
    record: dict[str, Any], victim: Any, others: Loader, config: dict[str, Any], device: torch.device
) -> tuple[Any, int]:
    """Return a net that learned the victim's labels, and how many those were."""
    facts, want = record["config"]["data"], config["substitute"]
    picture = {"_target_": PICTURE} | {key: facts[key] for key in ("channels", "height", "width", "mean", "std")}
    with aside(config["seed"]):
        net = build({"_target_": MIMIC, "classes": facts["classes"], "picture": picture}).to(device)
        victim = Counted(victim)
        asked = mimic(
            labels(victim), net, others.take(torch.arange(min(want["queries"], others.examples))).x,
            want["queries"], want["rounds"], want["passes"], config["seed"],
        )  # fmt: skip
    return net, asked


def labels(classifier: Any) -> Callable[[Tensor], Tensor]:
    """Return what a victim gives away: classes, and nothing else."""

    def label(x: Tensor) -> Tensor:
        with torch.no_grad():
            return torch.cat([classifier(part).argmax(1) for part in x.split(250)])

    return label


def answers(scene: Stage, x: Tensor, whose: Any = None) -> Tensor:
    """Return logits (B, classes) of pictures, on the CPU: the victim's, or those of another net.

    One answer for each picture, as whoever uses the net gets it: to average is a matter of the attack.
    """
    return read_all(scene.victim if whose is None else whose, x, scene.config, scene.device)


def read_all(net: Any, x: Tensor, config: dict[str, Any], device: torch.device) -> Tensor:
    """Return logits (B, classes) of pictures, on the CPU, batch by batch."""
    with torch.no_grad(), aside(config["seed"]):
        return torch.cat([read(net, part.to(device)).cpu() for part in x.split(config["batch"])])
