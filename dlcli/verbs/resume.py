"""Go on with a run: its own config, the few changes that keep its result exact, the state of its last checkpoint."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from dlcli.config.check import parse
from dlcli.engine import checkpoint, state
from dlcli.errors import ConfigError, RunError
from dlcli.run import Run, find
from dlcli.verbs.prepare import Setup

CONTINUABLE = ("resume", "epochs", "max_steps", "max_time", "patience", "log.", "save.", "paths.", "device.", "plugins")


def wanted(config: Any) -> Run:
    """Return the run that `resume=` means. Raises RunError."""
    return find(Path(config.paths.outputs), None if config.resume == "last" else config.resume)


def continued(run: Run, now: Any, overrides: Sequence[str]) -> Any:
    """Return the config of a run with the changes that may be made. Raises ConfigError for others.

    Whose code may run is for the command line to say, never for the file of a run.
    """
    from omegaconf import OmegaConf

    saved = run.record["config"] | {"plugins": list(now.plugins)}
    if lost := [key for key in now if key not in saved]:
        raise RunError(f"{run}/run.json: damaged or of another version (it has no {', '.join(lost)}); it cannot go on")
    config = OmegaConf.create(saved)
    for override in overrides:
        parsed = parse(override)
        if not parsed.key_or_group.startswith(CONTINUABLE):
            known = ", ".join(key.rstrip(".") for key in CONTINUABLE[1:])
            raise ConfigError(
                f"{override}: cannot change when a run is resumed; {known} can. Start a new run for the rest"
            )
        OmegaConf.update(config, parsed.key_or_group, parsed.value())
    return config


def restore(run: Run, setup: Setup) -> None:
    """Put an engine where the run's last checkpoint was taken, and write the changed limits down."""
    folder = run / "checkpoints"
    tensors, plain = checkpoint.read(folder / "last.safetensors")
    state.restore(setup.engine, tensors, plain, run)
    best = folder / "best.safetensors"
    setup.engine.best_weights = checkpoint.part(checkpoint.read(best)[0], "model") if best.exists() else {}
    run.write("run.json", run.record | {"config": setup.config})
