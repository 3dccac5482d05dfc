"""Turn a config node into an object, and let no config name anything that it may not.

A `_target_` is resolved only if all but its last part is an importable *module* (never an attribute of one) inside an
allowed package, and the object is *defined* in that module. Prefix lists alone are no protection:
`torch.optim.adam.torch.load` starts with an allowed prefix too. The whole tree is checked before anything is called.
"""

import collections.abc
import functools
import importlib
import importlib.util
import inspect
import types
import typing
from collections.abc import Iterable
from difflib import get_close_matches
from typing import Any

from dlcli.errors import ConfigError, RefusedError

PLACES = tuple(
    f"dlcli.{place}"
    for place in (
        *("nets", "models", "data", "attacks", "schedules", "optimizers", "samplers"),
        *("corruptions", "penalties", "objectives", "regularizers"),
    )
)
PLAIN = {int: "a whole number", float: "a number", bool: "true or false", str: "a text"}
LARGEST = 2**62  # beyond it torch's own integers overflow
OPTIMIZERS = ("SGD", "Adam", "AdamW", "Adagrad", "RMSprop", "Rprop", "Adadelta", "Adamax", "NAdam", "RAdam")
TORCH = {f"torch.optim.{name}": f"torch.optim.{name.lower()}.{name}" for name in OPTIMIZERS}


def build(node: Any, plugins: Iterable[str] = (), **extra: Any) -> Any:
    """Build the object that a plain config node describes; `extra` joins the arguments of the outermost one.

    Raises RefusedError for a target outside the allowed packages, ConfigError for arguments that it does not take.
    """
    allowed = (*PLACES, *plugins)
    _check(node, allowed)
    return _build(node, allowed, extra)


def _check(node: Any, allowed: tuple[str, ...]) -> None:
    if isinstance(node, dict):
        if "_target_" in node:
            _locate(node["_target_"], allowed)
        for value in node.values():
            _check(value, allowed)
    elif isinstance(node, list):
        for value in node:
            _check(value, allowed)


def _locate(target: Any, allowed: tuple[str, ...]) -> Any:
    """Return the class or function that a target names."""
    refusal = f"_target_ {target!r}: only classes of {', '.join(allowed)} and torch's optimizers may be named"
    path = TORCH.get(target, target) if isinstance(target, str) else ""
    module, _, name = path.rpartition(".")
    if path not in TORCH.values() and not any(f"{module}.".startswith(f"{place}.") for place in allowed):
        raise RefusedError(refusal + "; your own package joins with plugins=[name]")
    if not all(part.isidentifier() and not part.startswith("_") for part in path.split(".")):
        raise RefusedError(refusal)
    try:
        found = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise ConfigError(f"_target_ {target!r}: {error}") from error
    if not inspect.isclass(found) or found.__module__ != module:  # a function might act as soon as it is called
        raise RefusedError(f"{refusal}, where they are defined")
    return found


def _build(node: Any, allowed: tuple[str, ...], extra: dict[str, Any]) -> Any:
    if isinstance(node, list):
        return [_build(value, allowed, {}) for value in node]
    if not isinstance(node, dict):
        return node
    values = {key: _build(value, allowed, {}) for key, value in node.items() if key not in ("_target_", "_partial_")}
    if "_target_" not in node:
        return values
    found, arguments = _locate(node["_target_"], allowed), values | extra
    partial = node.get("_partial_") is True
    _fits(found, arguments, partial)
    if partial:
        return functools.partial(found, **arguments)
    try:
        return found(**arguments)
    except (TypeError, ValueError, RuntimeError, ArithmeticError, LookupError) as error:
        raise ConfigError(f"{found.__name__} cannot be made of these values: {error}") from error


def _fits(found: Any, arguments: dict[str, Any], partial: bool) -> None:
    """Refuse arguments that a class does not take, naming the nearest one that it does, and arguments left out."""
    parameters = inspect.signature(found).parameters
    if any(p.kind is p.VAR_KEYWORD for p in parameters.values()):
        return
    for name in arguments:
        if name not in parameters:
            near = get_close_matches(name, parameters, 1)
            hint = f"; did you mean {near[0]}?" if near else f"; it takes {', '.join(parameters)}"
            raise ConfigError(f"{found.__name__} takes no argument {name!r}{hint}")
    for name, value in arguments.items():
        if fault := _unfit(value, parameters[name].annotation):
            shown = "null" if value is None else f"{value!r:.60}"
            raise ConfigError(f"{found.__name__}: {name}={shown} {fault}; leave {name} out to have its default")
    needed = [p.name for p in parameters.values() if p.default is p.empty and p.kind is not p.VAR_POSITIONAL]
    if not partial and (missing := [name for name in needed if name not in arguments]):
        raise ConfigError(f"{found.__name__} needs {', '.join(missing)} as well")


def _unfit(value: Any, annotation: Any) -> str | None:
    """Say what is wrong with a plain value that an argument says it takes; configs of strangers hold anything."""
    origin, members = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is collections.abc.Sequence:
        if not isinstance(value, (list, tuple)):
            return "must be a list"
        return next((fault for item in value if (fault := _unfit(item, members[0]))), None)
    if origin is types.UnionType:
        faults = [_unfit(value, member) for member in members]
        return faults[0] if all(faults) else None
    if annotation is types.NoneType:
        return None if value is None else "must be null"
    if annotation not in PLAIN:
        return None
    right = isinstance(value, (int, float) if annotation is float else annotation)
    if not right or (isinstance(value, bool) and annotation is not bool):
        return f"must be {PLAIN[annotation]}"
    return f"must be below {LARGEST:.0e}" if annotation in (int, float) and abs(value) > LARGEST else None
