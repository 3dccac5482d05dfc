"""The commands that make sense after a training."""

from collections.abc import Sequence
from shlex import quote
from typing import Any

from dlcli.engine.loop import Engine
from dlcli.model import Model
from dlcli.run import Run
from dlcli.verbs.prepare import Setup


def next_commands(run: Run, setup: Setup, overrides: Sequence[str]) -> list[str]:
    """Return the commands that make sense for this run."""
    kind, data = type(setup.engine.model), setup.config["data"]
    words = [f"eval {quote(str(run))}"]
    if kind.sample is not Model.sample:
        words.append(f"sample {quote(str(run))} {kind.asks}".rstrip())
    if data["kind"] == "images" and kind.forward is not Model.forward:
        words.append(f"attack {quote(str(run))}")
    commands = [*(f"dl {word}" for word in words), *filter(None, [longer(run, setup.config, setup.engine)])]
    return [command + repeated(overrides) for command in commands[:3]]


def repeated(overrides: Sequence[str]) -> str:
    """Return the words of a command that the next one about its run needs too, as they are no part of the run."""
    return "".join(f" {quote(word)}" for word in overrides if word.startswith(("plugins=", "paths.")))


def longer(run: Run, config: dict[str, Any], engine: Engine, waited: int = 0) -> str:
    """Return the command that makes a run twice as long as its config says, or twice as patient as it has waited.

    There is none if the stages of the rule share out its steps: with more of them it would stand in an earlier stage.
    """
    if not waited and engine.model.ahead(engine.clock._replace(steps=2 * engine.clock.steps)):
        return ""
    limit = "patience" if waited else "max_steps" if config["max_steps"] else "epochs"
    return f"dl train resume={quote(str(run))} {limit}={2 * (waited or config[limit])}"
