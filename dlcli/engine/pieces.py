"""Batches in pieces, for when memory does not hold them whole."""

from typing import Any

import torch
from torch import nn

from dlcli.model import Model


def cut(batch: Any, pieces: int, least: int = 1) -> list[Any]:
    """Cut a batch into about equal pieces along its examples, of at least `least` each."""
    if pieces > 1:
        pieces = max(1, min(pieces, batch.size // least))
    if pieces == 1:
        return [batch]
    columns = [field.tensor_split(pieces) for field in batch]
    return [type(batch)(*fields) for fields in zip(*columns, strict=True)]


def least(model: nn.Module) -> int:
    """Return how many examples a piece must have: one alone has no variance to normalize by."""
    return 2 if any(isinstance(module, nn.modules.batchnorm._BatchNorm) for module in model.modules()) else 1


def shares(model: Model, parts: list[Any]) -> list[float]:
    """Return what the loss of each piece counts in that of the batch."""
    counts = [float(model.counts(part)) for part in parts]
    whole = sum(counts) or 1.0
    return [count / whole for count in counts]


def out_of_memory(error: RuntimeError) -> bool:
    """Tell whether an error means that memory ran out, on the GPU or on the CPU."""
    words = ("can't allocate memory", "CUDA error: out of memory", "ALLOC_FAILED")
    return isinstance(error, torch.OutOfMemoryError) or any(word in str(error) for word in words)
