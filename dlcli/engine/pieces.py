"""Batches in pieces, for when memory does not hold them whole."""

from typing import Any

import torch


def cut(batch: Any, pieces: int) -> list[Any]:
    """Cut a batch into about equal pieces along its examples."""
    if pieces == 1:
        return [batch]
    columns = [field.chunk(pieces) for field in batch]
    return [type(batch)(*fields) for fields in zip(*columns, strict=True)]


def out_of_memory(error: RuntimeError) -> bool:
    """Tell whether an error means that memory ran out, on the GPU or on the CPU."""
    words = ("can't allocate memory", "CUDA error: out of memory", "ALLOC_FAILED")
    return isinstance(error, torch.OutOfMemoryError) or any(word in str(error) for word in words)
