"""`dl attack`: adversarial examples for a run's classifier, verified apart from the attack, and what they did."""

from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from dlcli.attacks.checks import masking
from dlcli.attacks.outcome import outcome
from dlcli.attacks.verify import verify
from dlcli.config.build import build
from dlcli.data.loader import Loader, serve
from dlcli.data.splits import pick
from dlcli.errors import ConfigError
from dlcli.figures import save_grid
from dlcli.log import FOREVER, Log
from dlcli.run import Run, brief
from dlcli.verbs.common import load_data, pick_device, revive, split_of, writable


def attack(run: Run, config: dict[str, Any]) -> dict[str, Any]:
    """Attack the first `n` examples of a split; write pairs, pictures and report; return the report."""
    record, choice = run.record, pick_device(config["device"])
    kind = record["config"]["data"].get("kind")
    if kind != "images" or "classes" not in record["config"]["data"]:
        raise ConfigError(
            f"{run} was trained on {kind} data; attacks need a classifier of pictures, such as model=lenet"
        )
    classifier = revive(run, config["checkpoint"], choice.device, config["plugins"])
    if "forward" not in vars(type(classifier)):
        rule = type(classifier).__name__
        raise ConfigError(f"{run} holds a {rule}, which does not classify; attack a classifier, such as model=lenet")
    splits = load_data(record["config"]["data"], config["paths"]["data"], config["plugins"])
    chosen = split_of(splits, config["split"], record)
    count = min(config["n"], chosen.size)
    examples = serve(pick(chosen, torch.arange(count)), size=config["batch"], shuffle=False, device=choice.device)
    method = build(config["attack"])
    clean, adversarial, labels = make(classifier, method, examples)
    verdict = verify(clean, adversarial, eps=method.eps, norm=method.norm)
    with torch.no_grad():
        before, after = (logits(classifier, x, choice.device, config["batch"]) for x in (clean, adversarial))
    target = method.targets(before, labels, torch.arange(count))
    report = {
        "attack": config["attack"],
        "split": config["split"],
        "seed": config["seed"],
        "examples": count,
        "changed": verdict.changed,
        "largest": verdict.largest,
        **outcome(before, after, labels, target),
        "checks": sanity(classifier, method, examples, adversarial, config["checks"]),
    }
    write(run, config, report, (clean, adversarial, labels))
    return report


def sanity(classifier: Any, method: Any, examples: Loader, adversarial: Tensor, count: int) -> list[dict[str, Any]]:
    """Return the checks for masked gradients on the first examples; none for count 0 or eps 0."""
    count = min(count, examples.examples)
    if count == 0 or method.eps == 0:
        return []
    index = torch.arange(count)
    few = examples.take(index)
    return [check._asdict() for check in masking(classifier, few.x, few.y, index, method, adversarial[:count])]


def make(classifier: Any, method: Any, examples: Loader) -> tuple[Tensor, Tensor, Tensor]:
    """Return clean pictures, adversarial pictures and labels, on the CPU."""
    rows, first = [], 0
    for batch in examples.epoch(0):
        index = torch.arange(first, first + batch.size, device=batch.x.device)
        rows.append((batch.x.cpu(), method(classifier, batch.x, batch.y, index).cpu(), batch.y.cpu()))
        first += batch.size
    clean, adversarial, labels = (torch.cat(column) for column in zip(*rows, strict=True))
    return clean, adversarial, labels


def logits(classifier: Any, x: Tensor, device: torch.device, size: int) -> Tensor:
    """Return the logits of pictures (B, C, H, W) as (B, classes), on the CPU."""
    return torch.cat([classifier(part.to(device)).float().cpu() for part in x.split(size)])


def write(run: Run, config: dict[str, Any], report: dict[str, Any], pairs: tuple[Tensor, Tensor, Tensor]) -> None:
    """Write the pairs, a picture of clean, perturbation x 10 and adversarial, and the report; print the outcome."""
    clean, adversarial, labels = pairs
    folder = Path(config["out"]) if config["out"] else run / "attacks"
    kind, norm, eps = (config["attack"][key] for key in ("_target_", "norm", "eps"))
    name = f"{kind.rpartition('.')[2].lower()}-{norm}-eps{eps:g}"
    change = (0.5 + 10 * (adversarial - clean)).clamp(0, 1)
    shown = torch.cat([part[:8] for part in (clean, change, adversarial)])
    with writable(folder):
        save_file(
            {"clean": clean.contiguous(), "adversarial": adversarial.contiguous(), "labels": labels},
            folder / f"{name}.safetensors",
        )
        save_grid(shown, folder / f"{name}.png", len(clean[:8]))
    shares = {key: value for key, value in report.items() if isinstance(value, float) and key != "largest"}
    log = Log(run.path, resumed_at=FOREVER)
    log.pictures("attack", {name: shown}, run.at)
    log.scalars({f"attack/{name}/{key}": value for key, value in shares.items()}, run.at)
    log.close()
    run.write(f"attack-{name}.json", report)
    print(f"{run}: {report['examples']} {config['split']} examples, {name}; budget and box verified")
    for key, value in shares.items():
        print(f"  {key.replace('_', ' '):18} {100 * value:.2f} %")
    for check in report["checks"]:
        print(f"  {'PASS' if check['passed'] else 'WARN'} {check['name']}: {check['finding']}")
    print(f"pairs and pictures in {brief(folder / name)}.*")
