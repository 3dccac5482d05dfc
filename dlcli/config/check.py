"""Find every fault of a command line at once, before Hydra composes and torch is imported.

Each fault is one line: what was written, the rule, and the nearest key or option with its type and default.
"""

import functools
import itertools
import re
from collections.abc import Iterator, Sequence
from difflib import get_close_matches
from typing import Any

from dlcli.config import catalog, paths, schema
from dlcli.config.compose import choices, compose, loader
from dlcli.config.faults import absent, readable, several, unreadable
from dlcli.errors import ConfigError

Choices = dict[str, str]
MOST = 12  # options in a hint


def check(verb: str, overrides: Sequence[str], multirun: bool = False) -> Any:
    """Return the composed config (of the first job of a sweep); raise ConfigError with one line per fault."""
    from hydra.errors import HydraException
    from omegaconf.errors import OmegaConfBaseException

    with loader():
        parsed = [parse(override) for override in overrides]
        known = {group for group in paths.groups() if paths.options(group)}
        ours = [p for p in parsed if not (p.key_or_group or "").startswith("hydra")]
        picks = [p for p in ours if p.key_or_group in known and "." not in p.key_or_group]
        values = [p for p in ours if p not in picks]
        faults = [fault for p in picks for fault in unknown_options(p)]
        faults += [several(verb, p.input_line) for p in ours if p.is_sweep_override() and not multirun]
        try:
            good = [p.input_line for p in parsed if p in picks and not list(unknown_options(p))]
            for choice in itertools.product(*(sweep(p) for p in picks if p.input_line in good)):
                faults += [fault for fault in faulty_values(verb, values, choice) if fault not in faults]
            if not faults:
                first = [next(iter(sweep(p))) if not p.input_line.startswith("hydra") else p.input_line for p in parsed]
                return complete(verb, compose(verb, first), first)
        except (HydraException, OmegaConfBaseException) as error:
            faults.append(readable(error))
    raise ConfigError("\n".join(faults))


def parse(override: str) -> Any:
    """Read one override in Hydra's grammar."""
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import HydraException

    if "=" not in override and not override.startswith("~"):
        groups = [group for group in paths.groups() if override in paths.options(group)]
        hint = f"did you mean {groups[0]}={override}?" if groups else "--help lists the keys"
        raise ConfigError(f"{override}: expected KEY=VALUE; {hint}")
    try:
        return OverridesParser.create().parse_override(override)
    except HydraException as error:
        raise ConfigError(unreadable(override)) from error


def sweep(override: Any) -> list[str]:
    """Return the single assignments of an override: several when it sweeps."""
    if not override.is_sweep_override():
        return [override.input_line]
    if not override.is_discrete_sweep():
        raise ConfigError(
            f"{override.input_line}: an interval needs a sweeper that searches; list values instead: a,b,c"
        )
    return [f"{override.get_key_element()}={value}" for value in override.sweep_string_iterator()]


def unknown_options(override: Any) -> Iterator[str]:
    """Yield a fault for each chosen option that the group has not."""
    options = paths.options(override.key_or_group)
    for assignment in sweep(override):
        option = assignment.partition("=")[2]
        if option not in options and (option != "null" or override.key_or_group != "experiment"):
            near = get_close_matches(option, options, 1, 0.5)
            hint = f"did you mean {near[0]}? " if near else ""
            if strays := [root for root in paths.directories()[:-1] if (root / f"{option}.yaml").is_file()]:
                hint = f"{option}.yaml must lie in {strays[0].name}/{override.key_or_group}/; "
            yield f"{assignment}: no such {override.key_or_group}; {hint}options: {', '.join(options)}"


def faulty_values(verb: str, values: Sequence[Any], picks: Sequence[str]) -> Iterator[str]:
    """Yield the faults of all value overrides, given one choice of options."""
    base = compose(verb, picks)
    selected = functools.cache(lambda: choices(verb, picks))  # only a fault needs it, and it costs a composition
    leaves = dict(flatten(base))
    yield from missing_facts(base)
    for override in values:
        key = (override.key_or_group or "").removeprefix("+")
        if override.is_delete():
            yield f"{override.input_line}: keys cannot be removed, only set"
            continue
        if key.startswith("data.") and not key.startswith("data.source") and key != "data.name":
            yield f"{override.input_line}: a fact of the data, which only the data decide"
            continue
        if isinstance(leaves.get(key), dict) and not isinstance(override.value(), dict):
            example = f"{key}.{next(iter(leaves[key]), 'KEY')}"
            yield f"{override.input_line}: {key} holds other keys; set one of them, such as {example}"
            continue
        if key not in leaves and not key.startswith(schema.FREE):
            yield f"{override.input_line}: no such key; {nearest(key, leaves, verb, selected())}"
            continue
        rule = schema.kind(key, leaves.get(key))
        for assignment in sweep(override):
            fault = rule and rule.fault(parse(assignment).value())
            if fault:
                yield f"{assignment}: {key} {fault}{explain(key, leaves.get(key), verb, selected())}"


def flatten(config: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield every dotted key of a config with its value, nodes included."""
    from omegaconf import OmegaConf

    plain: Any = OmegaConf.to_container(config, resolve=False) if OmegaConf.is_config(config) else config
    for key, value in plain.items():
        yield f"{prefix}{key}", value
        if isinstance(value, dict):
            yield from flatten(value, f"{prefix}{key}.")


def nearest(key: str, leaves: dict[str, Any], verb: str, selected: Choices) -> str:
    """Name the group or the known keys that look most like a mistaken one."""
    if "." not in key and (group := get_close_matches(key, paths.groups(), 1, 0.75)):
        return f"did you mean {group[0]}? options: {first(list(paths.options(group[0])))}"
    if key.split(".")[0] in leaves and (others := having(key)):
        return f"{key.split('.')[0]}={others[0]} has it{also(others[1:])}"
    leaves = {leaf: value for leaf, value in leaves.items() if not isinstance(value, dict)}
    near = get_close_matches(key, leaves, 2, 0.6)
    last = key.split(".")[-1]
    near += [leaf for leaf in leaves if get_close_matches(last, [leaf.split(".")[-1]], 1, 0.75) and leaf not in near]
    if not near:
        return f"`dl {verb} --help` lists the keys"
    return (
        "did you mean " + " or ".join(f"{leaf}{explain(leaf, leaves[leaf], verb, selected)}" for leaf in near[:2]) + "?"
    )


def having(key: str) -> list[str]:
    """Return the options of a group that have a key which the chosen option has not."""
    group, _, rest = key.partition(".")
    files = paths.options(group).items() if group in paths.groups() else ()
    return [option for option, path in files if rest in {entry.key for entry in catalog.entries(path)}]


def also(names: Sequence[str]) -> str:
    """Return in brackets who else there is."""
    return f" (and {first(names)})" if names else ""


def first(names: Sequence[str]) -> str:
    """Return names in a row, cut where it gets too long."""
    return f"{', '.join(names[:MOST])}{', ...' if names[MOST:] else ''}"


def explain(key: str, default: Any, verb: str, selected: Choices) -> str:
    """Return type, default and meaning of a key in brackets."""
    if isinstance(default, dict):
        return ""
    meaning = catalog.meaning(key, verb, selected)
    shown = "null" if default is None else str(default).lower() if isinstance(default, bool) else default
    return f" (default {shown}{': ' + meaning if meaning else ''})"


def complete(verb: str, config: Any, overrides: Sequence[str]) -> Any:
    """Return the config if its files obey the table as well, and the data has every fact that the model asks for."""
    faults = []
    for key, value in flatten(config):
        if value == "???":
            faults.append(
                f"{key}: must be given ({catalog.meaning(key, verb, choices(verb, overrides))}), as {key}=VALUE"
            )
            continue
        rule = schema.ROOT.get(key) or (schema.kind(key, value) if not isinstance(value, dict) else None)
        fault = rule and not str(value).startswith("${") and rule.fault(value)
        if fault:
            faults.append(f"{key}={value}: {fault}")
    unknown = [key for key in config if key not in roots(verb)]
    faults += [
        f"{key}: no such key (it stands in a config file); {nearest(key, dict.fromkeys(roots(verb)), verb, {})}"
        for key in unknown
    ]
    faults += missing_facts(config, within=True)
    faults += absent(config.get("plugins", []))
    if faults:
        raise ConfigError("\n".join(faults))
    return config


def roots(verb: str) -> set[str]:
    """Return the root keys of a verb: those of its own file, and the groups."""
    return {entry.key.split(".")[0] for entry in catalog.entries(paths.packaged() / f"{verb}.yaml")} | set(
        paths.groups()
    )


def missing_facts(config: Any, within: bool = False) -> list[str]:
    """Name the facts that model or augmentation ask of data which does not have them, and data that does.

    `within` looks into lists as well, such as a shape, which the user may still replace as long as keys are read.
    """
    from omegaconf import OmegaConf

    faults = []
    asked = [(part, str(value)) for part in ("model", "augment") for _, value in flatten(config.get(part, {}))]
    plain = [(part, value) for part, value in asked if within or value.startswith("${data.")]
    needed = {(part, fact) for part, value in plain for fact in re.findall(r"\$\{data\.(\w+)\}", value)}
    for part in ("model", "augment"):
        facts = {fact for of, fact in needed if of == part}
        if missing := sorted(facts - set(config.get("data", {}))):
            known = {name: {e.key for e in catalog.entries(path)} for name, path in paths.options("data").items()}
            fitting = [name for name, keys in known.items() if keys.issuperset(facts)]
            data = OmegaConf.select(config, "data.name")
            faults.append(
                f"data={data} has no {', '.join(missing)}, which this {part} needs; data that fits: {first(fitting)}"
            )
    return faults
