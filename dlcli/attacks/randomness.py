"""Random numbers by counter: a pure function of where they are used, never of what was drawn before.

A generator that is read batch by batch gives an example other numbers when the batch size or the neighbours change.
Here the number for (seed, stream, example, position) is a hash of these four: SplitMix64 (Steele et al. 2014).
"""

import torch
from torch import Tensor

GOLDEN = 0x9E3779B97F4A7C15 - (1 << 64)  # torch's 64-bit integers are signed, and wrap around as the hash wants
FIRST = 0xBF58476D1CE4E5B9 - (1 << 64)
SECOND = 0x94D049BB133111EB - (1 << 64)


def uniform(seed: int, stream: int, index: Tensor, size: int) -> Tensor:
    """Return (B, size) numbers, uniform in the open interval (0, 1), for the examples numbered `index` (B,)."""
    key = _mix(torch.full((), seed, dtype=torch.int64, device=index.device))
    key = _mix(key + stream)
    key = _mix(key + index).unsqueeze(1)  # (B, 1)
    bits = _mix(key + GOLDEN * torch.arange(size, device=index.device)) >> 41  # (B, size), 23 bits with their sign
    return ((bits & 0x7FFFFF).float() + 0.5) / (1 << 23)  # 24 bits fit a float32 exactly: never 0, never 1


def normal(seed: int, stream: int, index: Tensor, size: int) -> Tensor:
    """Return (B, size) standard normal numbers for the examples numbered `index` (B,)."""
    return torch.erfinv(2 * uniform(seed, stream, index, size) - 1) * 2**0.5


def _mix(z: Tensor) -> Tensor:
    z = z + GOLDEN
    z = (z ^ _shift(z, 30)) * FIRST
    z = (z ^ _shift(z, 27)) * SECOND
    return z ^ _shift(z, 31)


def _shift(z: Tensor, places: int) -> Tensor:
    """Shift right and fill with zeros; torch fills with the sign."""
    return (z >> places) & ((1 << (64 - places)) - 1)
