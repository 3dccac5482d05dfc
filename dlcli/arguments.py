"""The words of a command line: assignments, a run's name, forgiven slips, completion."""

import re
from pathlib import Path
from typing import Any

import typer

from dlcli.config import catalog, paths, schema
from dlcli.errors import ConfigError

VERBS = ("train", "eval", "sample", "attack", "verify", "export", "show")
FLAGS = {
    "--config-dir",
    "--debug",
    "--multirun",
    "--dry-run",
    "--help",
    "--version",
    "--install-completion",
    "--show-completion",
}
VALUE = re.compile(r"^(?!-)|^-[\d.]")  # what may follow a key: no flag, but perhaps a negative number
SHORT = re.compile(r"^--(?P<key>[A-Za-z_][\w.]*)(?:=(?P<value>.*))?$")


def forgive(words: list[str]) -> tuple[list[str], list[str]]:
    """Read `--epochs 3` and `--epochs=3` as `epochs=3`; return the words and a note for each."""
    if not words or words[0] not in VERBS:
        return words, []
    kept, notes, rest = [words[0]], [], list(words[1:])
    while rest:
        word = rest.pop(0)
        match = SHORT.match(word)
        if not match or word.partition("=")[0] in FLAGS or not (match["value"] or (rest and VALUE.match(rest[0]))):
            kept.append(word)
            if word == "--config-dir" and rest:
                kept.append(rest.pop(0))
            continue
        value = match["value"] or rest.pop(0)
        kept.append(f"{match['key']}={value}")
        notes.append(f"note: read {word if match['value'] else f'{word} {value}'} as {kept[-1]}")
    return kept, notes


def assignments(words: list[str] | None) -> list[str]:
    """Return the words as assignments; `resume` alone is `resume=last`, and settings by player or layer may be new."""
    tidy = ["resume=last" if word == "resume" else word.strip().rstrip(",") for word in words or []]
    return [f"++{word}" if word.startswith(schema.FREE) else word for word in tidy]


def run_and_config(
    verb: str, words: list[str] | None, config_dir: Path | None, multirun: bool = False
) -> tuple[Any, dict[str, Any]]:
    """Return the run that the first word names (default: the newest) and the checked config of the verb."""
    from dlcli.config.check import check
    from dlcli.run import find

    given = list(words or [])
    name = given.pop(0) if given and "=" not in given[0] else None
    paths.use(config_dir)
    from omegaconf import OmegaConf

    config: Any = OmegaConf.to_container(check(verb, assignments(given), multirun), resolve=True)
    stray = [word for word in given if "=" not in word]
    if stray:
        raise ConfigError(f"{stray[0]}: only the first word names a run; the others are KEY=VALUE")
    return find(Path(config["paths"]["outputs"]), name), config


def complete(ctx: typer.Context, incomplete: str) -> list[str]:
    """Offer groups with their options, and keys, as the user types."""
    verb = ctx.info_name if ctx.info_name in VERBS else "train"
    group, sign, start = incomplete.partition("=")
    if sign:
        return [f"{group}={option}" for option in paths.options(group) if option.startswith(start)]
    words = ctx.params.get("words") or []
    chosen = dict(word.split("=", 1) for word in words if "=" in word)
    keys = [entry.key for entry in catalog.entries(paths.packaged() / f"{verb}.yaml") if entry.value]
    keys += [entry.key for name, option in chosen.items() for entry in catalog.own(name, option) if entry.value]
    shown = (key for key in [*paths.groups(), *keys] if not key.endswith(("_target_", "_partial_")))
    return sorted({f"{key}=" for key in shown if key.startswith(incomplete)})
