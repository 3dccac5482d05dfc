"""What `dl eval` shows of codes: which views make sense for a run, and the figures and tables that they make."""

from typing import Any

import torch
from torch import Tensor

from dlcli.data.serving import serve
from dlcli.data.without import numbers
from dlcli.engine.randomness import aside
from dlcli.errors import ConfigError
from dlcli.seeing.codes.scene import Codes
from dlcli.seeing.codes.views import OF_CODES
from dlcli.seeing.views import chosen
from dlcli.verbs.common import split_of
from dlcli.verbs.see import mixed

LEARNED, NUMBERS = 10_000, 2**26  # training examples that others are compared with, and numbers in all of them


def stage(
    model: Any, splits: Any, examples: Any, record: dict[str, Any], config: dict[str, Any]
) -> tuple[Codes | None, list[str]]:
    """Return the model with examples, and the views that make sense. Raises ConfigError where one was asked by name."""
    names = [name for name in chosen(config["see"]) if name in OF_CODES]
    asked = config["see"] not in ("usual", "all")
    if not names:
        return None, []
    if not hasattr(model, "decode"):
        if asked:
            rule = type(model).__name__
            raise ConfigError(
                f"see={names[0]}: a {rule} has no codes to decode; look at a run of model=vae or the like"
            )
        return None, []
    with torch.no_grad(), aside(config["seed"]):
        scene = gathered(model, splits, examples, record, config)
        lacking = {name: missing for name in names if (missing := OF_CODES[name].lacks(scene))}
    if asked and lacking:
        raise ConfigError("\n".join(f"see={name}: {missing}" for name, missing in lacking.items()))
    return scene, [name for name in names if name not in lacking]


def gathered(model: Any, splits: Any, examples: Any, record: dict[str, Any], config: dict[str, Any]) -> Codes:
    """Return the model with a random sample of the split, and one of the training examples."""
    data, out = record["config"]["data"], record["config"].get("without") or []
    learned = serve(split_of(splits, "train", record), size=config["batch"], shuffle=False, device=examples.device)
    sample = examples.take(torch.randperm(examples.examples)[: config["points"] or config["batch"]])
    order = mixed(sample.y)
    names = [str(name) for name in data.get("names") or range(data.get("classes") or 0)]
    return Codes(
        model=model,
        sample=type(sample)(*(column[order] for column in sample)),
        train=learned.take(torch.randperm(learned.examples)[: min(LEARNED, NUMBERS // sample.x[0].numel())]),
        names=names,
        without=sorted(numbers(names, out)) if out else [],
        split=examples,
    )


def look(scene: Codes | None, names: list[str], measured: dict[str, Tensor], seed: int) -> dict[str, Any]:
    """Return the figures and tables of views, given what was measured on the whole split."""
    found: dict[str, Any] = {}
    if scene is not None:
        scene.measured.update(measured)
        with torch.no_grad():
            for name in names:
                with aside(seed):
                    found |= OF_CODES[name].draw(scene)
    return found
