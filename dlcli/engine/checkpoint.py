"""Checkpoints: one safetensors file each, tensors in its body and plain data (JSON) in its header.

Written beside the target, flushed, synced and renamed, so that a reader sees the old file or the new one, never half.
Nothing in it can execute.
"""

import hashlib
import json
import os
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from dlcli.errors import CheckpointError, StorageError

Tensors = dict[str, Tensor]


def write(path: Path, tensors: Tensors, plain: dict[str, Any]) -> None:
    """Write a checkpoint in one piece. Raises StorageError; the former file then still stands."""
    temporary = path.with_name(f"{path.name}.tmp-{os.getpid()}")
    tensors = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
    text = json.dumps(plain)
    content = save(tensors, {"state": text, "sha256": digest(tensors, text)})
    try:
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
        sync(path.parent)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise StorageError(
            f"{path}: cannot be written ({error.strerror}); the former checkpoint still stands"
        ) from error


def digest(tensors: Tensors, text: str) -> str:
    """Return the SHA-256 of all that a checkpoint holds, so that a single flipped bit is noticed."""
    total = hashlib.sha256(text.encode())
    for name in sorted(tensors):
        total.update(f"{name} {tensors[name].dtype} {tuple(tensors[name].shape)}".encode())
        total.update(tensors[name].flatten().view(torch.uint8).numpy().data)
    return total.hexdigest()


def sync(folder: Path) -> None:
    """Make a rename in a folder last."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def read(path: Path) -> tuple[Tensors, dict[str, Any]]:
    """Return tensors and plain data of a checkpoint. Raises CheckpointError if it is missing or damaged."""
    if not path.is_file():
        raise CheckpointError(f"{path}: no checkpoint; the run stopped before its first one")
    try:
        with safe_open(path, "pt") as file:
            stated = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
        if digest(tensors, stated["state"]) != stated["sha256"]:
            raise ValueError("its SHA-256 is not the one that was written")
        return tensors, json.loads(stated["state"])
    except (SafetensorError, KeyError, ValueError, OSError) as error:
        raise CheckpointError(f"{path}: damaged ({error}); no state can be read from it") from error


def load(model: torch.nn.Module, tensors: Tensors, source: Path) -> None:
    """Put weights into a model. Raises CheckpointError that lists what is missing, unexpected or of another shape."""
    mine = model.state_dict()
    kinds = (
        sorted(f"missing {name}" for name in mine.keys() - tensors.keys()),
        sorted(f"unexpected {name}" for name in tensors.keys() - mine.keys()),
        sorted(
            f"{name} has shape {tuple(tensors[name].shape)}, the model {tuple(mine[name].shape)}"
            for name in mine.keys() & tensors.keys()
            if tensors[name].shape != mine[name].shape
        ),
    )
    faults = [fault for kind in kinds for fault in kind[:3]]
    if faults:
        raise CheckpointError(f"{source} does not fit the model: {'; '.join(faults)}")
    model.load_state_dict(tensors)


def part(tensors: Tensors, prefix: str) -> Tensors:
    """Return the tensors below a prefix, without it."""
    return {name[len(prefix) + 1 :]: value for name, value in tensors.items() if name.startswith(f"{prefix}/")}


def flatten(optimizer: torch.optim.Optimizer) -> tuple[Tensors, dict[str, Any]]:
    """Return an optimizer's state: tensors by `<parameter>/<name>`, the rest as plain data."""
    state = optimizer.state_dict()
    tensors: Tensors = {}
    numbers: dict[str, Any] = {}
    for index, entries in state["state"].items():
        for name, value in entries.items():
            (tensors if isinstance(value, Tensor) else numbers)[f"{index}/{name}"] = value
    return tensors, {"numbers": numbers, "groups": state["param_groups"]}


def unflatten(optimizer: torch.optim.Optimizer, tensors: Tensors, plain: dict[str, Any]) -> None:
    """Give an optimizer its saved state back."""
    state: dict[int, dict[str, Any]] = {}
    for key, value in {**tensors, **plain["numbers"]}.items():
        index, _, name = key.partition("/")
        state.setdefault(int(index), {})[name] = value
    optimizer.load_state_dict({"state": state, "param_groups": plain["groups"]})
