"""Random numbers without a state: a pure function of (seed, epoch, example, stream, counter).

A stateful generator ties what happens to a picture to the pictures before it; resuming, another batch size or a
second device would change it. Here every number is the finalizer of SplitMix64 (Steele, Lea, Flood, "Fast
splittable pseudorandom number generators", 2014) applied to its own address:

    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9,   z = (z ^ z >> 27) * 0x94D049BB133111EB,   z ^ z >> 31

B examples, N numbers for each.
"""

import math
from typing import Protocol

import torch
from torch import Tensor

MASK = (1 << 64) - 1
GAMMA = 0x9E3779B97F4A7C15  # 2^64 over the golden ratio: the step between two addresses
FIRST, SECOND = 0xBF58476D1CE4E5B9, 0x94D049BB133111EB

STILL = -1  # in place of the epoch: numbers that are the same in every epoch


class Draw(Protocol):
    """Where an augmentation takes its randomness from."""

    epoch: int

    def __call__(self, count: int) -> Tensor:
        """Return (B, count) uniform numbers in [0, 1), fresh at each call."""

    def still(self, count: int) -> Tensor:
        """Return (B, count) uniform numbers in [0, 1) that are the same in every epoch."""


def scramble(*words: int) -> int:
    """Hash integers into 64 bits; the order of the words matters."""
    state = 0
    for word in words:
        z = (state + (word & MASK) + GAMMA) & MASK
        z = ((z ^ z >> 30) * FIRST) & MASK
        z = ((z ^ z >> 27) * SECOND) & MASK
        state = z ^ z >> 31
    return state


def uniform(seed: int, epoch: int, index: Tensor, count: int, stream: int = 0) -> Tensor:
    """Return (B, count) float32 in [0, 1) for the examples `index` (B,), on their device."""
    return _numbers(_states(seed, epoch, index), count, stream)


class Counter:
    """Hand out uniform numbers for one batch; each call reads the next stream."""

    def __init__(self, seed: int, epoch: int, index: Tensor) -> None:
        self.seed, self.epoch, self.index = seed, epoch, index
        self.states = _states(seed, epoch, index)
        self.stream = -1

    def __call__(self, count: int) -> Tensor:
        """Return (B, count) numbers in [0, 1)."""
        self.stream += 1
        return _numbers(self.states, count, self.stream)

    def still(self, count: int) -> Tensor:
        """Return (B, count) numbers in [0, 1) that belong to the examples, whatever the epoch and the call."""
        return uniform(self.seed, STILL, self.index, count)


def normal(draw: Draw, count: int) -> Tensor:
    """Return (B, count) standard normal numbers (Box and Muller 1958), two from each pair of uniform ones."""
    pairs = (count + 1) // 2
    radius = (-2 * (1 - draw(pairs)).log()).sqrt()  # 1 - u lies in (0, 1]: the logarithm is finite
    angle = 2 * math.pi * draw(pairs)
    return torch.cat([radius * angle.cos(), radius * angle.sin()], dim=1)[:, :count]


def _states(seed: int, epoch: int, index: Tensor) -> Tensor:
    """Hash each example into a starting point (B, 1)."""
    return _mix(index[:, None] * _signed(GAMMA) + _signed(scramble(seed, epoch)))


def _numbers(states: Tensor, count: int, stream: int) -> Tensor:
    first = (stream << 32) + 1  # streams are 2^32 numbers apart
    steps = torch.arange(first, first + count, device=states.device) * _signed(GAMMA)  # (N,)
    bits = _shifted(_mix(states + steps), 40)  # (B, N), the upper 24 bits: as many as float32 tells apart
    return bits.float().mul_(2.0**-24)


def _mix(z: Tensor) -> Tensor:
    """Apply the finalizer to int64 numbers; products wrap modulo 2^64."""
    z = _shifted(z, 30).bitwise_xor_(z).mul_(_signed(FIRST))
    z = _shifted(z, 27).bitwise_xor_(z).mul_(_signed(SECOND))
    return _shifted(z, 31).bitwise_xor_(z)


def _shifted(z: Tensor, bits: int) -> Tensor:
    """Shift right and fill with zeros, where int64 would repeat the sign."""
    return (z >> bits).bitwise_and_((1 << (64 - bits)) - 1)


def _signed(word: int) -> int:
    return word - (1 << 64) if word >> 63 else word
