"""Hydra, as `dl` uses it: its override grammar, composition, sweepers and launchers, without its error pages."""

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from dlcli.config import paths

VERSION = "1.3"


def plugins() -> None:
    """Make our own Hydra plug-ins importable under the name that Hydra demands."""
    own = str(Path(__file__).resolve().parents[1] / "_plugins")
    if own not in sys.path:
        sys.path.append(own)


@contextmanager
def loader() -> Iterator[Any]:
    """Yield Hydra's config loader over the packaged and the user's configs."""
    plugins()
    from hydra import initialize_config_dir
    from hydra.core.global_hydra import GlobalHydra

    with initialize_config_dir(str(paths.packaged()), version_base=VERSION):
        yield GlobalHydra.instance().config_loader()


def compose(verb: str, overrides: Sequence[str]) -> Any:
    """Return the composed config of a verb, without Hydra's own node. Call it inside `loader()`."""
    from hydra import compose

    return compose(verb, list(overrides))


def choices(verb: str, overrides: Sequence[str]) -> dict[str, str]:
    """Return the option that each group ends up with. Call it inside `loader()`."""
    from hydra import compose

    chosen = compose(verb, list(overrides), return_hydra_config=True).hydra.runtime.choices
    return {str(group): str(option) for group, option in chosen.items() if "/" not in str(group)}


def run(task: Callable[[Any], Any], verb: str, flags: Sequence[str], overrides: Sequence[str]) -> Any:
    """Run a task under `hydra.main`, so that multirun, sweepers and launchers are Hydra's own.

    Flags go first: Hydra's parser does not take words on both sides of a flag.
    """
    plugins()
    import hydra

    decorated = hydra.main(version_base=VERSION, config_path=str(paths.packaged()), config_name=verb)(task)
    before, sys.argv = sys.argv, ["dl", *flags, *overrides]
    try:
        return decorated()
    finally:
        sys.argv = before
