"""`dl show`: a composed config with the origin of each value, and the layers of its model."""

import json
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from dlcli.config import paths
from dlcli.config.check import check, flatten
from dlcli.config.compose import loader
from dlcli.errors import DataError


def show(overrides: list[str], config_dir: Path | None) -> None:
    """Print config and layers. Raises ConfigError."""
    paths.use(config_dir)
    config = check("train", overrides)
    console = Console(highlight=False, markup=False)
    origin = origins(overrides)
    guessed = look_up(config) if any(altered(key, file) for key, file in origin.items()) else ""
    table = Table(box=None)
    for heading in ("key", "value", "from"):
        table.add_column(heading, overflow="fold")
    for key, value in flatten(config):
        if not isinstance(value, dict) or not value:
            table.add_row(key, json.dumps(value), origin.get(key, ""))
    console.print(table)
    console.print(layer_table(config))
    if guessed:
        console.print(guessed)


def altered(key: str, file: str) -> bool:
    """Tell whether a key says how data are read, and other than their own file does."""
    return key.startswith("data.source.") and not file.startswith("data/")


def look_up(config: Any) -> str:
    """Put the facts of the data into a config, as they are once loaded; where they are not at hand, say so."""
    from omegaconf import open_dict

    from dlcli.data.fetch import offline
    from dlcli.verbs.common import load_data, plain, stated

    try:
        with offline():  # who looks has not asked for a download
            splits = load_data(plain(config.data), config.paths.data, config.plugins)
    except DataError as error:
        return f"warning  sizes are those of data={config.data.name} as it comes, since it was not loaded:\n{error}"
    with open_dict(config):
        config.data.update(stated(splits.facts))
    return ""


def origins(overrides: list[str]) -> dict[str, str]:
    """Return the file or word that last set each key."""
    from hydra.types import RunMode
    from omegaconf import OmegaConf

    found: dict[str, str] = {}
    with loader() as hydra:
        defaults = hydra.compute_defaults_list("train", overrides, RunMode.RUN)
        for default in defaults.defaults:
            path = default.config_path
            if path is None or path.startswith("hydra"):
                continue
            file = next(root / f"{path}.yaml" for root in paths.directories() if (root / f"{path}.yaml").is_file())
            content: Any = OmegaConf.to_container(OmegaConf.load(file), resolve=False)
            prefix = f"{default.package}." if default.package and default.package != "_global_" else ""
            found |= {f"{prefix}{key}": f"{path}.yaml" for key, _ in flatten(content)}
    return found | {word.partition("=")[0]: "command line" for word in overrides}


def layer_table(config: Any) -> Table:
    """Return the layers of a model: output shape, receptive field and jump in pixels, weights, connections."""
    from omegaconf import open_dict

    from dlcli.verbs.common import plain
    from dlcli.verbs.layers import layers

    with open_dict(config):
        for fact, value in (("target_mean", 0.0), ("target_std", 1.0)):  # known only when loaded; they change no shape
            if config.data.get("targets") and config.data.get(fact) is None:
                config.data[fact] = [value] * config.data.targets
    facts = plain(config.data)
    rows = layers(model_node(config), facts, config.plugins)
    fields = any(layer.field for layer in rows)
    heads = ("layer", "kind", "output", *(("sees / jump",) if fields else ()), "weights", "connections")
    table = Table(box=None)
    for heading in heads:
        table.add_column(heading, overflow="fold")  # a name that is cut names nothing
    for layer in rows:
        seen = (str(layer.field or ""),) if fields else ()
        shape = " x ".join(map(str, layer.shape))
        table.add_row(layer.name, layer.kind, shape, *seen, f"{layer.weights:,}", f"{layer.connections:,}")
    total = [f"{sum(layer.weights for layer in rows):,}", f"{sum(layer.connections for layer in rows):,}"]
    table.add_row("total", "", "", *([""] if fields else []), *total, end_section=True)
    return table


def model_node(config: Any) -> dict[str, Any]:
    """Return the model node as plain data."""
    from omegaconf import OmegaConf

    return OmegaConf.to_container(config.model, resolve=True)  # type: ignore[return-value]
