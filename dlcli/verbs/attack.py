"""`dl attack`: adversarial examples for a run's classifier, verified apart from the attack, and what they did."""

import itertools
import platform
import time
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from dlcli.attacks import ball
from dlcli.attacks.checks import masking
from dlcli.attacks.ensemble import AutoAttack
from dlcli.attacks.outcome import outcome
from dlcli.attacks.threat import Attack
from dlcli.attacks.verify import verify
from dlcli.attacks.victim import changed, condition, fingerprint, training
from dlcli.config.build import build
from dlcli.engine.randomness import aside
from dlcli.errors import ConfigError, DlError
from dlcli.figures import robustness
from dlcli.log import FOREVER, Log
from dlcli.run import Run
from dlcli.verbs.assault import Made, clear, folder_of, make, method_of
from dlcli.verbs.evidence import keep, name_of, tell
from dlcli.verbs.victim import Stage, answers, stage


def attack(run: Run, config: dict[str, Any]) -> list[dict[str, Any]]:
    """Attack the first `n` examples of a split with each size; write pairs, pictures and reports; return the reports.

    Raises DlError if a picture breaks the threat model, or the attack left the model other than it was.
    """
    sizes = config["attack"]["eps"] if isinstance(config["attack"]["eps"], list) else [config["attack"]["eps"]]
    for eps in sizes:
        build(config["attack"] | {"eps": eps})  # refuses what is out of range before anything is computed
    scene = stage(run, config)
    before = condition(scene.victim)
    if training([scene.victim]):
        raise DlError(f"{run}: a part of the model is in train mode, in which the examples of a batch mix")
    folders = [folder_of(scene, eps) for eps in sizes]
    reports = [
        assault(scene, eps, folder, checked=eps == max(sizes, key=lambda size: size or 0))
        for eps, folder in zip(sizes, folders, strict=True)
    ]
    if faults := changed(before, condition(scene.victim)):
        raise DlError(f"{run}: the attack changed {' and '.join(faults)} of the model; discard its results")
    if len(sizes) > 1:
        curve(scene, reports)
    for folder in folders:
        clear(folder)
    return reports


def assault(scene: Stage, eps: float | None, folder: Path, checked: bool) -> dict[str, Any]:
    """Attack with one size, and check for masked gradients if asked; return the report."""
    began = time.perf_counter()
    method = method_of(scene, eps)
    made = make(scene, method, folder)
    seconds = time.perf_counter() - began
    name = name_of(scene, method)
    made = keep(scene, name, made)  # from here on as it was saved
    verdict = verify(made.clean, made.adversarial, eps=method.bound, norm=method.norm)
    before, after = (answers(scene, pictures) for pictures in (made.clean, made.adversarial))
    target = targets(scene, method, made)
    report = {
        **description(scene, method, made, seconds),
        "changed": verdict.changed,
        "largest": verdict.largest,
        **outcome(before, after, made.labels, target),
        **distances(method, made, before, after, target),
        **parts(method, made, before, after),
        "checks": sanity(scene, method, made.adversarial) if checked else [],
    }
    tell(scene, name, report, made, (before, after))
    return report


def description(scene: Stage, method: Attack, made: Made, seconds: float) -> dict[str, Any]:
    """Return what somebody else needs to do the same again, and what it cost."""
    config = scene.config
    box = {"norm": method.norm, "eps": method.eps, "target": method.target, "pixels": [0, 1]}
    queries, gradients = made.cost.double().mean(0).tolist()
    return {
        "attack": config["attack"] | {"eps": method.eps},
        "threat": box | {"knows": "the weights of others" if scene.through else knowledge(method)},
        "through": scene.through,
        "labels_asked": scene.asked,
        "split": config["split"],
        "examples": len(made.labels),
        "batch": config["batch"],
        "seed": config["seed"],
        "model": fingerprint(scene.victim),
        "queries": queries,
        "gradients": gradients,
        "seconds": seconds,
        "versions": {"torch": torch.__version__, "python": platform.python_version(), "device": str(scene.device)},
    }


def knowledge(method: Attack) -> str:
    """Say what an attack sees of its victim."""
    return "the weights" if method.gradients else "the outputs"


def targets(scene: Stage, method: Attack, made: Made) -> Tensor | None:
    """Return the wanted classes. Raises ConfigError if every example has the wanted class already."""
    if method.target is None:
        return None
    logits = answers(scene, made.clean, scene.source)  # of whoever the pictures were made with
    target = method.targets(logits, made.labels, torch.arange(len(made.labels)))
    if target is not None and bool((target == made.labels).all()):
        raise ConfigError(f"attack.target={method.target}: the true class of every example; choose another class")
    return target


def distances(
    method: Attack, made: Made, before: Tensor, after: Tensor, target: Tensor | None
) -> dict[str, dict[str, float]]:
    """Return how far the pictures of the successes are."""
    won = (before.argmax(1) == made.labels) & (after.argmax(1) != made.labels)
    won = won if target is None else won & (after.argmax(1) == target)
    if method.norm == "none" or not won.any():
        return {}
    size = ball.distance((made.adversarial - made.clean)[won].double(), method.norm)
    return {"distance": {"median": size.median().item(), "mean": size.mean().item(), "largest": size.max().item()}}


def parts(method: Attack, made: Made, before: Tensor, after: Tensor) -> dict[str, dict[str, float]]:
    """Return the accuracy that each attack of an ensemble, and those before it, left."""
    if not isinstance(method, AutoAttack):
        return {}
    right = before.argmax(1) == made.labels
    found = {}
    for number, name in enumerate(method.parts(before.shape[1])):
        won = (made.part >= 0) & (made.part <= number)
        found[name] = (right & ~won).double().mean().item()
    return {"robust_after": found}


def sanity(scene: Stage, method: Attack, adversarial: Tensor) -> list[dict[str, Any]]:
    """Return the checks for masked gradients on the first examples; none for count 0 or eps 0, or other nets."""
    count = min(scene.config["checks"], scene.examples.examples)
    if count == 0 or method.eps == 0 or scene.through:
        return []
    index = torch.arange(count)
    few = scene.examples.take(index)
    with aside(scene.config["seed"]):
        found = masking(scene.victim, few.x, few.y, index, method, adversarial[:count], scene.twin)
    return [check._asdict() for check in found]


def curve(scene: Stage, reports: list[dict[str, Any]]) -> None:
    """Draw and print accuracy against size, and check that more room never helps the net."""
    order = sorted(reports, key=lambda report: report["threat"]["eps"])
    sizes, robust = ([report[part][key] if part else report[key] for report in order] for part, key in
                     (("threat", "eps"), (None, "robust_accuracy")))  # fmt: skip
    fooled = [report["success_rate"] for report in order]
    clean = [report["clean_accuracy"] for report in order]
    name = order[0]["name"].rpartition("-eps")[0]
    figure = robustness(
        f"{scene.run.path.parent.name}, {name}",
        f"size of the change ({order[0]['threat']['norm']})",
        sizes,
        {"robust accuracy": robust, "success rate": fooled, "clean accuracy": clean},
    )
    log = Log(scene.run.path, resumed_at=FOREVER)
    log.figures("attack", {f"{name}-curve": figure}, scene.run.at)
    log.close()
    scene.run.write(f"attack-{name}-curve.json", {"eps": sizes, "robust_accuracy": robust, "success_rate": fooled})
    print(f"\n{'eps':>8} {'robust':>9} {'success':>9}")
    for eps, left, won in zip(sizes, robust, fooled, strict=True):
        print(f"{eps:8.4g} {100 * left:7.2f} % {100 * won:7.2f} %")
    steady = all(later <= earlier for earlier, later in itertools.pairwise(robust))
    print(f"  {'PASS' if steady else 'WARN'} monotone: a larger size {'never' if steady else 'somewhere'} leaves more")
