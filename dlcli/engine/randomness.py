"""Seeds, and the state of every random stream of the process."""

import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor


def seed_all(seed: int) -> None:
    """Set python's, numpy's and torch's streams."""
    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.manual_seed(seed)


def state() -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Return the streams: torch's as tensors, python's and numpy's as plain data."""
    tensors = {"cpu": torch.get_rng_state()}
    if torch.cuda.is_available() and torch.cuda.is_initialized():
        tensors |= {f"cuda{i}": value for i, value in enumerate(torch.cuda.get_rng_state_all())}
    kind, keys, position, has_gauss, gauss = np.random.get_state(legacy=True)
    numpy = [kind, keys.tolist(), position, has_gauss, gauss]  # type: ignore[union-attr]
    version, words, gauss_next = random.getstate()
    return tensors, {"python": [version, list(words), gauss_next], "numpy": numpy}


def restore(tensors: dict[str, Tensor], plain: dict[str, Any]) -> None:
    """Put the streams back where they were."""
    torch.set_rng_state(tensors["cpu"])
    devices = [tensors[name] for name in sorted(tensors) if name.startswith("cuda")]
    if devices and torch.cuda.is_available():
        torch.cuda.set_rng_state_all(devices[: torch.cuda.device_count()])
    kind, keys, *rest = plain["numpy"]
    np.random.set_state((kind, np.asarray(keys, dtype=np.uint32), *rest))
    version, words, gauss_next = plain["python"]
    random.setstate((version, tuple(words), gauss_next))


@contextmanager
def aside(seed: int) -> Iterator[None]:
    """Use other streams for a while, so that looking at a model never changes its training."""
    tensors, plain = state()
    seed_all(seed)
    try:
        yield
    finally:
        restore(tensors, plain)
