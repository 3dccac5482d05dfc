"""`dl train`: learn, keep the best, and say what to do next."""

import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from pathlib import Path
from shlex import quote
from typing import Any

from omegaconf import OmegaConf
from safetensors.torch import save

from dlcli.engine.loop import Engine
from dlcli.engine.lora import merged
from dlcli.engine.signals import Stop, listening
from dlcli.engine.store import Store
from dlcli.errors import ConfigError, Interrupted
from dlcli.lock import held
from dlcli.log import Log, Ticker, clock
from dlcli.run import Run
from dlcli.verbs import resume
from dlcli.verbs.borrowed import agreed
from dlcli.verbs.common import environment
from dlcli.verbs.keeper import Keeper
from dlcli.verbs.onward import longer, next_commands, repeated
from dlcli.verbs.prepare import Setup, idle, prepare
from dlcli.verbs.see import gradient_norms


def train(config: Any, overrides: Sequence[str], begun: Callable[[Run], Any] = str) -> dict[str, float]:
    """Train in a new run folder or in the one to resume, which `begun` is told of; return the best scores."""
    source = resume.wanted(config) if config.resume else None
    with held(source.path) if source and not config.fork else nullcontext():
        for note in [] if source else agreed(config, overrides):
            print(note)
        setup = prepare(resume.continued(source, config, overrides) if source else config)
        if source:
            resume.restore(source, setup, config.fork)
            resume.require_way(setup, planned(setup), config.fork)
            if not config.fork:
                begun(source)
                return go_on(source, setup, overrides)
        run = create(setup, overrides, source)
        begun(run)
        with held(run.path):
            return keep_learning(run, setup, overrides, resumed_at=None)


def create(setup: Setup, overrides: Sequence[str], source: Run | None) -> Run:
    """Make the folder of a new run; a fork notes where it comes from."""
    record = {"config": setup.config | {"resume": None, "fork": False}, "overrides": list(overrides), **environment()}
    if source:
        record["fork"] = {"run": str(source), "step": setup.engine.clock.step}
    if setup.taken:
        record["init_from"] = {"run": str(setup.source), "taken": setup.taken.names, "left": setup.taken.left}
    return Run.create(
        Path(setup.config["paths"]["outputs"]), f"{setup.config['name']}-{setup.config['data']['name']}", record
    )


def go_on(run: Run, setup: Setup, overrides: Sequence[str]) -> dict[str, float]:
    """Continue a run in its own folder. Raises ConfigError if `last` found only runs with nothing left to do."""
    step, best = setup.engine.clock.step, setup.engine.best
    if (best.exhausted or best.seen >= step >= planned(setup)) and run.reported(step):
        cure = longer(run, run.record["config"], setup.engine, 0 if step >= planned(setup) else best.waited)
        onward = f"it goes on longer with {cure}" if cure else "its stages are over, and more of them take a new run"
        if setup.config["resume"] == "last":
            raise ConfigError(f"resume=last: no run is unfinished; of the newest finished one, {run}: {onward}")
        print(f"{run}: already finished; {onward}")
        return run.read("report.json")["scores"]
    run.write("run.json", run.record | {"config": setup.config})
    return keep_learning(run, setup, overrides, resumed_at=step)


def keep_learning(run: Run, setup: Setup, overrides: Sequence[str], resumed_at: int | None) -> dict[str, float]:
    """Learn in a run folder whose lock is held, to the end or to a saved stop; return the best scores."""
    log = Log(run.path, resumed_at)
    setup.engine.log = log
    try:
        with listening() as stop:
            announce(log, run, setup, overrides)
            seconds = learn(run, log, setup, overrides, stop)
            return finish(run, log, setup, overrides, seconds)
    except BaseException as error:
        if (told := run.status).get("state") == "running":
            run.write("status.json", told | {"state": "stopped"})
        if isinstance(error, KeyboardInterrupt) and "step" in told:
            raise interruption(run, overrides, f"left at once; step {told['step']} is saved") from error
        raise
    finally:
        log.close()


def planned(setup: Setup) -> int:
    """Return how many steps the run is to have."""
    total = setup.config["epochs"] * len(setup.train)
    return min(total, setup.config["max_steps"] or total)


def announce(log: Log, run: Run, setup: Setup, overrides: Sequence[str]) -> None:
    """Say what is about to happen, where it goes and how to watch it."""
    config, engine, splits = setup.config, setup.engine, setup.splits
    weights = sum(p.numel() for p in engine.model.parameters())
    log.say(f"device   {setup.choice.device} ({setup.choice.reason}), {engine.precision.name}")
    log.say(f"changed  {' '.join(overrides) or 'nothing: all defaults'}")
    sizes = (
        f"{setup.train.examples:,} training, {setup.valid.examples:,} validation, {splits.test.size:,} test examples"
    )
    log.say(f"data     {config['data']['name']}: {sizes}")
    log.say(f"model    {config['name']}: {weights:,} weights; players: {', '.join(engine.players) or 'none'}")
    learning = sum(p.numel() for p in engine.model.parameters() if p.requires_grad)
    if learning < weights:
        log.say(f"learn    {learning:,} of {weights:,} weights ({100 * learning / weights:.1f} %); the others stay")
    for note in [*idle(engine, overrides), *engine.precision.notes(), *engine.model.notes()]:
        log.say(f"warning  {note}")
    if setup.source:
        log.say(f"init     from {setup.source}: {setup.taken}")
    log.say(f"run      {run}")
    if engine.clock.step:
        log.say(f"resumed  at step {engine.clock.step}")
    log.say(f"watch    tensorboard --logdir {config['paths']['outputs']}")


def learn(run: Run, log: Log, setup: Setup, overrides: Sequence[str], stop: Stop) -> float:
    """Run the loop under the eyes of log, keeper and signals; return the seconds it took."""
    engine, config = setup.engine, setup.config
    began = time.monotonic()
    keeper = Keeper(run, engine, Store(run / "checkpoints", config["save"]["keep"], log.say), config["save"], stop)
    keeper.save("running")  # from now on the run can be continued; and a disk that is full shows before the first step
    chosen = flat({key: config[key] for key in ("seed", "epochs", "batch", "optimizer", "schedule", "model")})
    facts = config["data"]  # nobody chose these
    log.settings({k: v for k, v in chosen.items() if facts.get(k.split(".")[-1]) != v}, declared(engine))
    log.pictures("config", {"config": f"```\n{OmegaConf.to_yaml(OmegaConf.create(config))}```"}, 0)
    log.ticker = Ticker(log.console, planned(setup), engine.clock.step)

    def epoch_end(scores: dict[str, float]) -> None:
        look(log, setup, scores)
        told = f"epoch {engine.clock.epoch}  valid {brief(scores, engine.best.monitor)}"
        log.tick(engine.clock.step, told, f"  valid {scores[engine.best.monitor]:.4g}")

    try:
        complete = engine.fit(setup.train, setup.valid, stop, keeper.step_end, epoch_end)
    finally:
        log.ticker.close()
    keeper.save("done" if complete else "interrupted")
    if not complete:
        raise interruption(run, overrides, f"stopped after step {engine.clock.step}; everything is saved", stop.code)
    return time.monotonic() - began


def declared(engine: Engine) -> list[str]:
    """Return the scores that stand in the table of hyperparameters: loss and monitored score."""
    return list(dict.fromkeys(["loss", engine.best.monitor]))


def interruption(run: Run, overrides: Sequence[str], kept: str, code: int | None = None) -> Interrupted:
    """Return the error that ends an interrupted run with the right exit code, and says what is kept."""
    error = Interrupted(f"{kept}. Go on with\ndl train resume={quote(str(run))}{repeated(overrides)}")
    error.code = code or Interrupted.code
    return error


def look(log: Log, setup: Setup, scores: dict[str, float]) -> None:
    """Log the training scores and texts at every epoch, and pictures at the 1st, 2nd, 4th, 8th, ... and the last."""
    engine, epoch = setup.engine, setup.engine.clock.epoch
    due = epoch & (epoch - 1) == 0 or engine.clock.step >= engine.clock.steps
    trained = engine.score(setup.sampled)
    log.scalars({f"train/{name}": value for name, value in trained.items() if name != "loss"}, engine.clock.step)
    log.scalars({"train/loss in evaluation": trained["loss"]} if "loss" in trained else {}, engine.clock.step)
    if setup.config["log"].get("gradients"):  # a run of an earlier version may go on without the key
        log.scalars(
            {f"gradient/{name}": norm for name, norm in gradient_norms(engine.model, setup.sampled).items()},
            engine.clock.step,
        )
    if due or engine.model.talks:
        log.pictures("look", pictures(setup), engine.clock.step)
    if due and setup.config["log"]["histograms"]:
        log.histograms(dict(engine.model.named_parameters()), engine.clock.step)
    log.flush()


def pictures(setup: Setup) -> dict[str, Any]:
    """Return what the model shows of the first validation examples, without touching its random streams."""
    import torch

    from dlcli.engine.randomness import aside

    engine = setup.engine
    engine.model.eval()
    with torch.no_grad(), aside(setup.config["seed"]):
        return engine.model.show(setup.valid.take(torch.arange(min(64, setup.valid.examples))))


def finish(run: Run, log: Log, setup: Setup, overrides: Sequence[str], seconds: float) -> dict[str, float]:
    """Score the best weights on the validation split, write report and figures, and name the next commands."""
    engine = setup.engine
    engine.average = None
    engine.model.load_state_dict(engine.best_weights)
    plain = {name: value.cpu().contiguous() for name, value in merged(engine.best_weights).items()}
    run.put("checkpoints/best.safetensors", save(plain))  # for any other program
    measured = engine.measure(setup.valid)
    scores = engine.model.score(measured)
    report = {name: value for name, value in engine.model.report(measured).items() if not callable(value)}
    figures = {name: value for name, value in report.items() if hasattr(value, "savefig")}
    log.figures("valid", figures, engine.best.step)
    log.scalars({f"valid best/{name}": scores[name] for name in declared(engine) if name in scores}, engine.clock.step)
    numbers = {name: value for name, value in report.items() if name not in figures}
    place = {"split": "valid", "step": engine.best.step, "steps": engine.clock.step, "seconds": seconds}
    run.write("report.json", {**place, "scores": scores, **numbers})
    log.say(f"done     {engine.clock.step} steps in {clock(seconds)}")
    log.say(f"best     step {engine.best.step}: {brief(scores, engine.best.monitor)}")
    if missed := engine.model.ahead(engine.clock):
        log.say(
            f"warning  time was up before {', '.join(missed)}; go on: dl train resume={quote(str(run))} max_time=null"
        )
    if setup.config["overfit"]:
        log.say(
            "overfit  the loss above should be next to nothing; if more epochs do not bring it there, look for a fault "
            "in model or data"
        )
    log.say("files    run.json report.json scalars.csv figures/ checkpoints/")
    log.say("next     " + "\n         ".join(next_commands(run, setup, overrides)))
    return scores


def brief(scores: dict[str, float], monitor: str) -> str:
    """Return loss and monitored score in a few words; where they are the same, the first three scores."""
    names = list(scores)[:3] if monitor == "loss" else [name for name in ("loss", monitor) if name in scores]
    return "  ".join(f"{name} {scores[name]:.4g}" for name in names)


def flat(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return nested settings under dotted names, without what only Python reads."""
    found: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, dict):
            found |= flat(value, f"{prefix}{key}.")
        elif not key.startswith("_"):
            found[prefix + key] = value
    return found
