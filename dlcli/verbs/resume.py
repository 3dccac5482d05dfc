"""Go on with a run: its own config, the few changes that keep its result exact, the state of its last checkpoint."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from dlcli.config import paths
from dlcli.config.check import complete, flatten, parse
from dlcli.engine import state
from dlcli.engine.store import Store
from dlcli.errors import ConfigError, RefusedError, RunError
from dlcli.run import Run, find, unfinished
from dlcli.verbs.common import plain
from dlcli.verbs.prepare import Setup

CONTINUABLE = ("resume", "epochs", "max_steps", "max_time", "patience", "log.", "save.", "paths.", "device.", "plugins")
REPLACEABLE = ("optimizer", "schedule")  # groups of which a fork may choose another member


def wanted(config: Any) -> Run:
    """Return the run that `resume=` means: `last` is the newest unfinished one, or else the newest. Raises RunError."""
    outputs = Path(config.paths.outputs)
    if config.resume == "last":
        return unfinished(outputs) or find(outputs, None)
    return find(outputs, config.resume)


def continued(run: Run, now: Any, overrides: Sequence[str]) -> Any:
    """Return the config of a run with the changes that may be made. Raises ConfigError for others, and for its faults.

    Whose code may run, where data lie and where runs go is for this command and machine to say, never for the file of
    a run.
    """
    from omegaconf import OmegaConf

    saved = run.record["config"] | {"plugins": list(now.plugins), "fork": now.fork, "paths": plain(now.paths)}
    if lost := missing(saved, now):
        raise RunError(f"{run}/run.json: damaged or of another version (it has no {', '.join(lost)}); it cannot go on")
    if "${" in json.dumps(saved):
        raise RefusedError(f"{run}/run.json: it asks for values of this machine with ${{...}}; runs hold plain ones")
    config = OmegaConf.create(saved)
    changes = [change for override in overrides if (change := apply(override, config, now, run))]
    if changes and not now.fork:
        known = ", ".join(key.rstrip(".") for key in CONTINUABLE[1:])
        raise ConfigError(
            "\n".join(
                [
                    f"{run}: these cannot change when a run is resumed; it would be neither the old run nor a new one",
                    *changes,
                    f"{known} can; fork=true goes on in a new run with these changes",
                ]
            )
        )
    return complete("train", config, overrides)


def apply(override: str, config: Any, now: Any, run: Run) -> str | None:
    """Put a change into the config of a run; return it in words if a run that goes on may not have it.

    Raises ConfigError for what not even a fork may change.
    """
    from omegaconf import OmegaConf

    parsed = parse(override)
    key, value = parsed.key_or_group, parsed.value()
    if key == "init_from":
        raise ConfigError(f"{override}: a run that goes on, or a fork, has its own weights; leave it out")
    before = OmegaConf.select(config, key)
    if OmegaConf.is_dict(before):
        if not (now.fork and key in REPLACEABLE):
            raise ConfigError(
                f"{override}: a whole group cannot change when a run goes on; start a new run (init_from={run} takes "
                f"the weights over), or change {' and '.join(REPLACEABLE)} with fork=true"
            )
        value = OmegaConf.select(now, key)
    OmegaConf.update(config, key, value, merge=False)
    may = key.startswith((*CONTINUABLE, "fork")) or before == value
    return None if may else f"{key}: {before} -> {value}"


def missing(saved: dict[str, Any], now: Any) -> list[str]:
    """Return the keys of a config that a saved one lacks, or holds one value where there are several."""
    known, grouped = dict(flatten(saved)), {*paths.groups()} - {"device"}
    return [
        key
        for key, value in flatten(now)
        if ("." not in key or key.partition(".")[0] not in grouped)
        and (key not in known or isinstance(value, dict) != isinstance(known[key], dict))
    ]


def restore(run: Run, setup: Setup, fork: bool) -> None:
    """Put an engine where the run's newest checkpoint that holds was taken.

    Only who holds the lock of the run, hence not a fork, sets damaged ones aside.
    """
    state.restore(setup.engine, *Store(run / "checkpoints").newest(repair=not fork), run, fork)


def require_way(setup: Setup, steps: int, fork: bool) -> None:
    """Raise ConfigError if a run of so many steps would stand in another stage of its rule than it does.

    And for a fork that would have nothing to do.
    """
    clock, ahead = setup.engine.clock, setup.engine.model.ahead
    if fork and steps <= clock.step:
        raise ConfigError(f"fork=true: {clock.step:,} steps are done, of {steps:,}; raise epochs or max_steps")
    if ahead(clock) != ahead(clock._replace(steps=steps)):
        raise ConfigError(
            f"the run has made {clock.step:,} of {clock.steps:,} steps; of {steps:,} they would be another stage, "
            "and one would be left out or done twice: keep epochs and max_steps, or start a new run"
        )
