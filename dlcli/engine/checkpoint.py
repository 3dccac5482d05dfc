"""Checkpoints as bytes: a safetensors file each, tensors in its body and plain data (JSON) in its header.

Nothing in it can execute.
"""

import hashlib
import json
import os
from pathlib import Path
from typing import Any, BinaryIO

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from dlcli import disk, jsonfile
from dlcli.errors import CheckpointError

Tensors = dict[str, Tensor]
LONGEST = 1000  # characters of a name


def encode(tensors: Tensors, plain: dict[str, Any]) -> bytes:
    """Return the content of a checkpoint. Raises CheckpointError if it could not be read again."""
    tensors = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
    text = json.dumps(plain)
    content = save(tensors, {"state": text, "sha256": digest(tensors, text)})
    if (size := length(content)) > jsonfile.LIMIT:
        raise CheckpointError(
            f"a checkpoint of {len(tensors):,} tensors has a header of {size:,} bytes, more than {jsonfile.LIMIT:,}, "
            "and could not be read again; take a model of fewer, larger layers"
        )
    return content


def length(content: bytes) -> int:
    """Return how many bytes the header of a safetensors file says that it has."""
    return int.from_bytes(content[:8], "little")


def digest(tensors: Tensors, text: str) -> str:
    """Return the SHA-256 of all that a checkpoint holds, so that a single flipped bit is noticed."""
    total = hashlib.sha256(text.encode())
    for name in sorted(tensors):
        total.update(f"{name} {tensors[name].dtype} {tuple(tensors[name].shape)}".encode())
        total.update(tensors[name].flatten().view(torch.uint8).numpy().data)
    return total.hexdigest()


def read(path: Path) -> tuple[Tensors, dict[str, Any]]:
    """Return tensors and plain data of a file. Raises OSError, and CheckpointError if it is damaged.

    A stranger's file may be gigabytes of nothing: it is not read unless it is as long as its header says.
    """
    with disk.opened(path) as file:
        try:
            require_length(file)
        except (LookupError, ValueError, TypeError, AttributeError) as error:
            raise CheckpointError(f"{path}: damaged ({error}); no state can be read from it") from error
    return decode(disk.read(path), path)


def require_length(file: BinaryIO) -> None:
    """Raise ValueError, or what comes of a header of another form, unless a file is as long as its header says."""
    size = length(file.read(8))
    if size > jsonfile.LIMIT:
        raise ValueError(f"a header of more than {jsonfile.LIMIT:,} bytes")
    stated = jsonfile.parse(file.read(size))
    ends = [entry["data_offsets"][1] for name, entry in stated.items() if name != "__metadata__"]
    whole, found = 8 + size + max(ends, default=0), os.fstat(file.fileno()).st_size
    if whole != found:
        raise ValueError(f"{found:,} bytes, where its header says {whole:,}")


def decode(content: bytes, source: Any) -> tuple[Tensors, dict[str, Any]]:
    """Return tensors and plain data of a checkpoint. Raises CheckpointError if it is damaged."""
    try:
        if length(content) > jsonfile.LIMIT:
            raise ValueError(f"a header of more than {jsonfile.LIMIT:,} bytes")
        tensors, stated = load(content), header(content)
        if max(map(len, tensors), default=0) > LONGEST:
            raise ValueError(f"a name of more than {LONGEST:,} characters")
        if digest(tensors, stated["state"]) != stated["sha256"]:
            raise ValueError("its SHA-256 is not the one that was written")
        return tensors, jsonfile.parse(stated["state"].encode())
    except (SafetensorError, KeyError, ValueError, TypeError, RecursionError, RuntimeError) as error:
        raise CheckpointError(f"{source}: damaged ({error}); no state can be read from it") from error


def header(content: bytes) -> dict[str, str]:
    """Return the texts in the header of a safetensors file that its library has accepted."""
    return json.loads(content[8 : 8 + length(content)]).get("__metadata__", {})


def apply(model: torch.nn.Module, tensors: Tensors, source: Any) -> None:
    """Put weights into a model. Raises CheckpointError if they do not fit."""
    compare(model, tensors, source)
    model.load_state_dict(tensors)


def compare(model: torch.nn.Module, tensors: Tensors, source: Any) -> None:
    """Raise CheckpointError that lists which weights are missing, unexpected, of another shape or no numbers."""
    mine = model.state_dict()
    both = sorted(mine.keys() & tensors.keys())
    kinds = (
        [f"missing {name}" for name in sorted(mine.keys() - tensors.keys())],
        [f"unexpected {name}" for name in sorted(tensors.keys() - mine.keys())],
        [
            f"{name} has shape {tuple(tensors[name].shape)}, the model {tuple(mine[name].shape)}"
            for name in both
            if tensors[name].shape != mine[name].shape
        ],
        [f"{name} is {tensors[name].dtype}" for name in both if tensors[name].dtype != mine[name].dtype],
        [f"{name} is not finite" for name in both if not tensors[name].isfinite().all()],
    )
    faults = [fault for kind in kinds for fault in kind[:3]]
    if faults:
        raise CheckpointError(f"{source} does not fit the model: {'; '.join(faults)}")


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
    return tensors, {"tensors": sorted(tensors), "numbers": numbers, "groups": state["param_groups"]}


def unflatten(optimizer: torch.optim.Optimizer, tensors: Tensors, plain: dict[str, Any]) -> None:
    """Give an optimizer its saved state back. Raises KeyError or ValueError if a part of it is missing or unfit."""
    state: dict[int, dict[str, Any]] = {}
    for key, value in {**{key: tensors[key] for key in plain["tensors"]}, **plain["numbers"]}.items():
        index, _, name = key.partition("/")
        state.setdefault(int(index), {})[name] = value
    optimizer.load_state_dict({"state": state, "param_groups": plain["groups"]})
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            entries = optimizer.state.get(parameter, {})
            entries |= {
                name: laid_out(name, value, parameter, bool(group.get("fused")))
                for name, value in entries.items()
                if isinstance(value, Tensor)
            }


def laid_out(name: str, value: Tensor, parameter: Tensor, fused: bool) -> Tensor:
    """Return a tensor of an optimizer in the order in which its parameter lies in memory.

    Raises ValueError if it is of another size: a fused step goes through both blindly.
    """
    if name != "step" and value.shape == parameter.shape:
        return torch.empty_like(parameter, dtype=value.dtype).copy_(value)
    if fused and (name != "step" or value.numel() != 1 or value.dtype is not torch.float32):
        raise ValueError(f"{name} of shape {tuple(value.shape)} of an optimizer")
    return value
