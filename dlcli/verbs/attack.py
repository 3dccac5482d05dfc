"""`dl attack`: adversarial examples for a run's classifier, verified apart from the attack, and what they did."""

import hashlib
import itertools
import platform
import time
from typing import Any

import torch
from torch import Tensor

from dlcli import __version__
from dlcli.attacks import ball
from dlcli.attacks.carried import transferred
from dlcli.attacks.checks import masking
from dlcli.attacks.ensemble import AutoAttack
from dlcli.attacks.outcome import outcome
from dlcli.attacks.pgd import PGD
from dlcli.attacks.threat import Attack
from dlcli.attacks.verify import verify
from dlcli.attacks.victim import changed, condition, fingerprint, training
from dlcli.config.build import build
from dlcli.engine.randomness import aside
from dlcli.errors import ConfigError, DlError
from dlcli.figures import robustness
from dlcli.log import FOREVER, Log
from dlcli.run import Run
from dlcli.verbs.again import again
from dlcli.verbs.assault import Made, folder_of, identity, make, method_of, parts, sources
from dlcli.verbs.evidence import apart, keep, name_of, tell
from dlcli.verbs.victim import Stage, answers, stage


def attack(run: Run, config: dict[str, Any]) -> list[dict[str, Any]]:
    """Attack the first `n` examples of a split with each size; write pairs, pictures and reports; return the reports.

    Raises DlError if a picture breaks the threat model, or the attack left the model other than it was.
    """
    if config["pairs"] is not None:
        return [again(run, config)]
    sizes = config["attack"]["eps"] if isinstance(config["attack"]["eps"], list) else [config["attack"]["eps"]]
    for eps in sizes:
        build(config["attack"] | {"eps": eps})  # refuses what is out of range before anything is computed
    scene = stage(run, config)
    nets = [scene.victim, *(net for net in sources(scene) if net is not scene.victim)]
    before = [condition(net) for net in nets]
    if training(nets):
        raise DlError(f"{run}: a part of a model is in train mode, in which the examples of a batch mix")
    keys = [identity(scene, eps) for eps in sizes]
    with parts(folder_of(scene, key) for key in keys):
        reports = [
            assault(scene, eps, key, checked=eps == max(sizes, key=lambda size: size or 0))
            for eps, key in zip(sizes, keys, strict=True)
        ]
        for net, was in zip(nets, before, strict=True):
            demand_unchanged(scene, net, was)
        if len(sizes) > 1:
            curve(scene, reports)
    return reports


def assault(scene: Stage, eps: float | None, key: str, checked: bool) -> dict[str, Any]:
    """Attack with one size, and check for masked gradients if asked; return the report."""
    began = time.perf_counter()
    method, learning = method_of(scene, eps)
    target = targets(scene, method)
    made = make(scene, method, folder_of(scene, key))
    seconds = time.perf_counter() - began
    name = name_of(scene, method, key)
    made = keep(scene, name, method, made, target)  # from here on as it was saved
    verdict = verify(made.clean, made.adversarial, eps=method.bound, norm=method.norm)
    before, after = (answers(scene, pictures) for pictures in (made.clean, made.adversarial))
    report = {
        "key": key,
        **description(scene, method),
        **circumstances(scene),
        **cost(made, learning, seconds),
        "changed": verdict.changed,
        "largest": verdict.largest,
        **outcome(before, after, made.labels, target),
        **distances(method, made, before, after, target),
        **each_part(method, made, before, after),
        "pictures": scene.likeness,
        "right": "".join("01"[stayed] for stayed in right(made, before, after).tolist()),  # for each example
        "checks": sanity(scene, method, made.adversarial) if checked else [],
    }
    tell(scene, name, report, made, (before, after))
    return report


def demand_unchanged(scene: Stage, net: Any, before: dict[str, str]) -> None:
    """Raise DlError unless a net is in the condition in which it was."""
    if faults := changed(before, condition(net)):
        raise DlError(
            f"{scene.run}: the attack changed {' and '.join(faults)} of {who(scene, net)}; discard its results"
        )


def description(scene: Stage, method: Attack) -> dict[str, Any]:
    """Return what was done to whom."""
    box = {"norm": method.norm, "eps": method.eps, "target": method.target, "pixels": [0, 1]}
    stride = {"step_size": method.stride} if isinstance(method, PGD) else {}
    others = [fingerprint(net) for net in sources(scene) if net is not scene.victim]
    return {
        "attack": scene.config["attack"] | {"eps": method.eps} | stride,
        "stop": method.stop,
        "threat": box | {"knows": "the weights of others" if scene.through else knowledge(method)},
        "model": fingerprint(scene.victim),
        "through": scene.through,
        "sources": others,
        "substitute": scene.config["substitute"] if scene.asked else None,
        "labels_asked": scene.asked,
    }


def circumstances(scene: Stage) -> dict[str, Any]:
    """Return what else somebody needs to do the same again."""
    config, status = scene.config, scene.run.status
    versions = {"dl": __version__, "torch": torch.__version__, "python": platform.python_version()}
    return {
        "checkpoint": config["checkpoint"],
        "step": status.get("at" if config["checkpoint"] == "best" else "step"),
        "split": config["split"],
        "examples": scene.examples.examples,
        "batch": config["batch"],
        "seed": config["seed"],
        "precision": "float32",  # whatever the run learned in
        "versions": versions | {"device": str(scene.device)},
    }


def cost(made: Made, learning: dict[str, int], seconds: float) -> dict[str, Any]:
    """Return what the attack asked for: on the average of the examples, and before the first of them."""
    queries, gradients = made.cost.double().mean(0).tolist()
    return {"queries": queries, "gradients": gradients, "learning": learning, "seconds": seconds}


def who(scene: Stage, net: Any) -> str:
    """Say which net is meant."""
    return "the model" if net is scene.victim else "a net that the pictures were made with"


def knowledge(method: Attack) -> str:
    """Say what an attack sees of its victim."""
    return "the weights" if method.gradients else "the outputs"


def targets(scene: Stage, method: Attack) -> Tensor | None:
    """Return the wanted classes. Raises ConfigError if every example has the wanted class already."""
    if method.target in (None, "all"):
        return None
    whole = scene.examples.take(torch.arange(scene.examples.examples))
    labels = whole.y.cpu()
    logits = answers(scene, whole.x, scene.source)  # of whoever the pictures are made with
    target = method.targets(logits, labels, torch.arange(len(labels)))
    if target is not None and bool((target == labels).all()):
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


def right(made: Made, before: Tensor, after: Tensor) -> Tensor:
    """Return a mask (N,) of the examples that the net gets right before and after."""
    return (before.argmax(1) == made.labels) & (after.argmax(1) == made.labels)


def each_part(method: Attack, made: Made, before: Tensor, after: Tensor) -> dict[str, dict[str, float]]:
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
    """Return the checks for masked gradients on the first examples; none for count 0 or eps 0."""
    count = min(scene.config["checks"], scene.examples.examples)
    if count == 0 or method.eps == 0:
        return []
    index = torch.arange(count)
    few = scene.examples.take(index)
    with aside(scene.config["seed"]):
        given = (few.x, few.y, index, method, adversarial[:count], scene.twin)
        found = transferred(scene.victim, scene.source, *given) if scene.through else masking(scene.victim, *given)
    return [check._asdict() for check in found]


def curve(scene: Stage, reports: list[dict[str, Any]]) -> None:
    """Draw and print accuracy against size, and check that more room never helps the net."""
    order = sorted(reports, key=lambda report: report["threat"]["eps"])
    sizes, robust = ([report[part][key] if part else report[key] for report in order] for part, key in
                     (("threat", "eps"), (None, "robust_accuracy")))  # fmt: skip
    fooled = [report["success_rate"] for report in order]
    clean = [report["clean_accuracy"] for report in order]
    key = hashlib.sha256("".join(report["key"] for report in order).encode()).hexdigest()
    method = order[0]["name"].rpartition("-eps")[0]
    name = apart(scene, f"{method}-curve", key)
    figure = robustness(
        f"{scene.run.path.parent.name}, {method}",
        f"size of the change ({order[0]['threat']['norm']})",
        sizes,
        {"robust accuracy": robust, "success rate": fooled, "clean accuracy": clean},
    )
    log = Log(scene.run.path, resumed_at=FOREVER)
    log.figures("attack", {name: figure}, scene.run.at)
    log.close()
    scores = {"eps": sizes, "robust_accuracy": robust, "success_rate": fooled}
    scene.run.write(f"attack-{name}.json", {"key": key, **scores})
    print(f"\n{'eps':>8} {'robust':>9} {'success':>9}")
    for eps, left, won in zip(sizes, robust, fooled, strict=True):
        print(f"{eps:8.4g} {100 * left:7.2f} % {100 * won:7.2f} %")
    steady = all(later <= earlier for earlier, later in itertools.pairwise(robust))
    print(f"  {'PASS' if steady else 'WARN'} monotone: a larger size {'never' if steady else 'somewhere'} leaves more")
