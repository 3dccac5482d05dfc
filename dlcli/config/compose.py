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
    """Return the composed config of a verb; only `${hydra:...}` sees Hydra's own node. Call it inside `loader()`."""
    from hydra import compose
    from hydra.core.hydra_config import HydraConfig
    from omegaconf import OmegaConf, open_dict

    config = compose(verb, list(overrides), return_hydra_config=True)
    with open_dict(config):
        HydraConfig.instance().set_config(OmegaConf.create({"hydra": config.pop("hydra")}))
    return config


def choices(verb: str, overrides: Sequence[str]) -> dict[str, str]:
    """Return the option that each group ends up with. Call it inside `loader()`."""
    from hydra import compose

    chosen = compose(verb, list(overrides), return_hydra_config=True).hydra.runtime.choices
    return {str(group): str(option) for group, option in chosen.items() if "/" not in str(group)}


def multirun(task: Callable[[Any], Any], verb: str, overrides: Sequence[str]) -> None:
    """Run the jobs of a sweep under `hydra.main`, so that sweepers and launchers are Hydra's own."""
    plugins()
    import hydra

    decorated = hydra.main(version_base=VERSION, config_path=str(paths.packaged()), config_name=verb)(task)
    before, sys.argv = sys.argv, ["dl", "--multirun", *overrides]
    try:
        decorated()
    finally:
        sys.argv = before
