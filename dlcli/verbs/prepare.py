"""From a valid config to everything that a training needs."""

import re
from collections.abc import Sequence
from dataclasses import fields
from math import prod
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import nn

from dlcli.config.build import build
from dlcli.data.loader import Loader
from dlcli.data.serving import serve
from dlcli.data.splits import Splits, mixed, resample
from dlcli.data.without import leave_out
from dlcli.engine import randomness
from dlcli.engine.device import Choice
from dlcli.engine.loop import Engine, Settings
from dlcli.engine.lora import attach
from dlcli.engine.pieces import out_of_memory
from dlcli.engine.precision import Precision
from dlcli.engine.transfer import Taken, take
from dlcli.errors import CheckpointError, ConfigError
from dlcli.model import Model
from dlcli.run import Run, find
from dlcli.verbs import vectors
from dlcli.verbs.common import VOCABULARIES, load_data, pick_device, plain, require_same, stated, trained

AT_ONCE = 2_000_000  # pixels that are scored at once
STEERING = ("optimizer", "schedule", "clip", "clip_value", "l1", "max_norm")  # keys that reach the players alone
WHOLE = ("limit", "limit_valid", "augment")  # keys that reach the whole data alone
SAMPLED = 2000  # training examples scored beside as many of the validation split, for the two learning curves


class Setup(NamedTuple):
    """All that a training needs."""

    config: dict[str, Any]
    splits: Splits
    choice: Choice
    engine: Engine
    train: Loader
    valid: Loader
    sampled: Loader
    source: Run | None = None  # whose weights the model starts from
    taken: Taken | None = None


def prepare(config: Any) -> Setup:
    """Load the data, let the model see its facts, and build everything. Raises ConfigError and DataError."""
    from omegaconf import open_dict

    splits = leave_out(load_data(plain(config.data), config.paths.data, config.plugins), config.get("without", []))
    facts = stated(splits.facts)
    if config.resume and not config.fork:  # a fork may go on with other data: it is a run of its own
        require_same(facts, plain(config.data))
    with open_dict(config):
        config.data.update(facts)
    require_facts(config)
    values = plain(config)
    choice = pick_device(values["device"])
    if values["deterministic"] != torch.are_deterministic_algorithms_enabled():  # the call itself costs seconds
        torch.use_deterministic_algorithms(values["deterministic"])
    randomness.seed_all(values["seed"])
    model = make_model(values, choice.device)
    vectors.start(model, values)
    source, taken = inherit(model, values)
    train_set, valid_set, sampled = loaders(values, splits, choice.device)
    engine = make_engine(values, model, choice.device)
    rehearse(engine, valid_set, values)
    if values["compile"]:  # not earlier: a graph of two examples would be made anew for a whole batch
        for child in model.children():
            child.compile()
    return Setup(values, splits, choice, engine, train_set, valid_set, sampled, source, taken)


def idle(engine: Engine, overrides: Sequence[str]) -> list[str]:
    """Warn of settings for an optimizer where the model learns without one, and for data that `overfit` leaves out."""
    keys = {word: re.split(r"[.=]", word.lstrip("+~"))[0] for word in overrides}
    few = next((word for word, key in keys.items() if key == "overfit" and word != "overfit=0"), None)
    causes = (
        (STEERING, None if engine.players else f"{type(engine.model).__name__} learns without an optimizer"),
        (WHOLE, few and f"{few} learns its batches as they are, and is judged by them"),
    )
    given = [([word for word in keys if keys[word] in known], cause) for known, cause in causes]
    return [f"{' '.join(words)}: no effect; {cause}" for words, cause in given if words and cause]


def require_facts(config: Any) -> None:
    """Raise ConfigError if the model asks for a fact that the loaded data turned out not to have."""
    from omegaconf import OmegaConf

    raw: Any = OmegaConf.to_container(config.model, resolve=False)
    for fact in ("classes", "labels", "targets", "features", "channels"):
        if f"'${{data.{fact}}}'" in str(raw) and config.data.get(fact) is None:
            needs = f"data={config.data.name} has no {fact}, which model={config.name} needs"
            raise ConfigError(f"{needs}; {other(config.data)}")


def other(facts: Any) -> str:
    """Name models that fit what the data do have."""
    kinds = {"targets": "linear or mlp_regression", "classes": "softmax or mlp", "labels": "mlp_multilabel"}
    fitting = [models for fact, models in kinds.items() if facts.get(fact) is not None]
    return f"try model={fitting[0]}" if fitting else "`dl ls models` names others"


def make_model(values: dict[str, Any], device: torch.device) -> Model:
    """Build the model, give it its first weights and put it on the device."""
    model = build(values["model"], values["plugins"])
    build(values["init"], values["plugins"])(model)
    attach(model, **values["lora"], learn=values["learn"])
    normalized = [name for name, module in model.named_modules() if isinstance(module, nn.modules.batchnorm._BatchNorm)]
    if values["batch"] == 1 and normalized:
        raise ConfigError(
            f"batch=1: batch normalization ({normalized[0]}) needs at least two examples; use batch=2 or more"
        )
    if values["channels_last"] or (values["channels_last"] is None and wide(model)):
        model.to(memory_format=torch.channels_last)
    return model.to(device)


def inherit(model: Model, values: dict[str, Any]) -> tuple[Run | None, Taken | None]:
    """Start from the weights of the run that `init_from` names; a run that goes on has its own."""
    wanted = values["init_from"]
    if not wanted and (values["init_only"] or values["init_names"]):
        raise ConfigError("init_only and init_names say what to take from a run; name it with init_from=RUN")
    if not wanted or values["resume"]:
        return None, None
    run = find(Path(values["paths"]["outputs"]), wanted)
    same_words(run, values)
    weights = trained(run, "best")
    if not weights:
        raise CheckpointError(f"init_from={wanted}: nothing was validated yet; let that run finish an epoch")
    return run, take(model, weights, run, values["init_only"], values["init_names"], model.local)


def same_words(run: Run, values: dict[str, Any]) -> None:
    """Refuse weights of a run whose numbers stand for other tokens, and a folder that is no run."""
    for name in VOCABULARIES:
        mine, its = values["data"].get(name), run.record["config"]["data"].get(name)
        if mine and its and mine != its and not values["init_only"]:
            cure = f"data.source.{name}={run} takes it over"
            raise ConfigError(
                f"init_from={run}: it learned another {name.replace('_', ' ')}; {cure}, or name init_only"
            )


def wide(model: nn.Module) -> bool:
    """Tell whether a net convolves enough channels for the channels-last format to pay."""
    return any(isinstance(m, nn.Conv2d) and m.in_channels >= 16 and m.out_channels >= 32 for m in model.modules())


def make_engine(values: dict[str, Any], model: Model, device: torch.device) -> Engine:
    """Return the engine of a plain config."""
    named = {f.name: values[f.name] for f in fields(Settings) if f.name != "every"}
    if values["overfit"]:  # accuracy is full long before the loss is nothing
        named["monitor"] = named["monitor"] or "loss"
    return Engine(
        model,
        build(values["optimizer"], values["plugins"]),
        settings=Settings(**named, every=values["log"]["every"]),
        precision=Precision(
            device, values["precision"], clip=values["clip"], clip_value=values["clip_value"], l1=values["l1"]
        ),
        schedule=build(values["schedule"], values["plugins"]),
    )


def rehearse(engine: Engine, examples: Loader, values: dict[str, Any]) -> None:
    """Measure two examples before anything is written, so that a net that does not fit the data is told at once."""
    model, precision = engine.model.eval(), engine.precision
    try:
        with torch.no_grad(), randomness.aside(0), precision.forward():
            measured = model.measure(examples.take(torch.arange(min(2, examples.examples))))
            if values["monitor"] is not None:
                require_score(values["monitor"], model.score(measured))
    except (RuntimeError, IndexError, ValueError) as error:
        if isinstance(error, RuntimeError) and out_of_memory(error):
            raise
        fault, words = str(error).splitlines()[0], f"model={values['name']} does not fit data={values['data']['name']}"
        if precision.name != "fp32":
            words += f" in precision={precision.name} (try fp32)"
        raise ConfigError(f"{words}: {fault}") from error


def require_score(monitor: str, scores: dict[str, float]) -> None:
    """Raise ConfigError unless a model has the score that is to say which epoch was best."""
    if monitor not in scores:
        raise ConfigError(f"monitor={monitor}: no such score; the model has {', '.join(scores)}")


def loaders(values: dict[str, Any], splits: Splits, device: torch.device) -> tuple[Loader, Loader, Loader]:
    """Return the training set, the validation set and a sample of the training set, resident on the device."""
    size, seed = values["batch"], values["seed"]
    shuffled: dict[str, Any] = {"size": size, "seed": seed, "device": device}
    size_of_one = prod(values["data"].get(fact) or 1 for fact in ("channels", "height", "width"))
    many = max(1, min(500, AT_ONCE // size_of_one))
    ordered: dict[str, Any] = {"size": max(size, many), "seed": seed, "device": device, "shuffle": False}
    examples = resample(splits.train, seed) if values["bootstrap"] else splits.train
    if values["overfit"]:
        some = torch.arange(min(values["overfit"] * size, examples.size))
        examples = serve(mixed(examples), **shuffled).take(some)
        return serve(examples, **shuffled), serve(examples, **ordered), serve(examples, **ordered)
    augment = build(values["augment"], values["plugins"])
    train_set = serve(examples, **shuffled, augment=augment, limit=values["limit"])
    sampled = serve(examples, **ordered, limit=min(1.0, min(SAMPLED, splits.valid.size) / examples.size))
    return train_set, serve(splits.valid, **ordered, limit=values["limit_valid"]), sampled
