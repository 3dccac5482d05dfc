"""Small layers that many nets share: input normalization, activations and norms chosen by name.

Layer norm: Ba, Kiros & Hinton 2016 (arXiv:1607.06450); instance norm: Ulyanov et al. 2016 (arXiv:1607.08022); group
norm: Wu & He 2018 (arXiv:1803.08494). B batch, C channels, D features, H height, W width.
"""

from collections.abc import Callable, Mapping, Sequence
from difflib import get_close_matches
from functools import wraps
from math import gcd
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from dlcli.errors import ConfigError

T = TypeVar("T")


def choose(kind: str, name: str, options: Mapping[str, T]) -> T:
    """Return the option called `name`; raise ConfigError with the nearest name if there is none."""
    if name in options:
        return options[name]
    near = get_close_matches(str(name), options, n=1)
    hint = f"did you mean {near[0]!r}? " if near else ""
    raise ConfigError(f"unknown {kind} {name!r}: {hint}choose one of {', '.join(options)}")


def exact(act: Callable[..., T]) -> Callable[..., T]:
    """Let a method of tensors, or of tuples of tensors, compute in single precision under autocast too.

    For what is compared after it was summed, and for running sums: eight bits do not tell such numbers apart. And for
    recurrent kernels, which autocast runs in fp16 on a GPU, whatever type was asked for and without a scaled loss.
    """

    @wraps(act)
    def run(module: nn.Module, x: Tensor, *rest: Any) -> T:
        if not torch.is_autocast_enabled(x.device.type):
            return act(module, x, *rest)
        with torch.autocast(x.device.type, enabled=False):
            return act(module, widened(x), *map(widened, rest))

    return run


def widened(given: Any) -> Any:
    """Return tensors of half precision in single precision, and all else as it is."""
    if isinstance(given, tuple):
        return tuple(map(widened, given))
    return given.float() if isinstance(given, Tensor) and given.dtype in (torch.bfloat16, torch.float16) else given


class Normalize(nn.Module):
    """Shift and scale the input: (x - mean) / std, per channel of (B, C, H, W) or per feature of (B, D).

    It is the first layer of a net, so that pixels stay in [0, 1] outside and the numbers travel with the weights.
    Without a mean it changes nothing. A feature that never varies (std 0) is only shifted.
    """

    mean: Tensor | None
    std: Tensor | None

    def __init__(self, *, mean: Sequence[float] | None = None, std: Sequence[float] | None = None):
        super().__init__()
        if (mean is None) != (std is None) or len(mean or ()) != len(std or ()):
            raise ConfigError(f"mean={mean} and std={std} do not match: give one of each per channel, or neither")
        self.register_buffer("mean", None if mean is None else torch.tensor([float(m) for m in mean]))
        self.register_buffer("std", None if std is None else torch.tensor([float(s) or 1.0 for s in std]))

    def forward(self, x: Tensor) -> Tensor:  # (B, C, ...) -> (B, C, ...)
        if self.mean is None or self.std is None:
            return x
        shape = (-1, *[1] * (x.dim() - 2))
        return (x - self.mean.view(shape)).div_(self.std.view(shape))

    def undo(self, z: Tensor) -> Tensor:
        """Return the x of which `forward` makes z, (B, C, ...) -> (B, C, ...)."""
        if self.mean is None or self.std is None:
            return z
        shape = (-1, *[1] * (z.dim() - 2))
        return z * self.std.view(shape) + self.mean.view(shape)


class Picture(Normalize):
    """Normalize pictures, and know how many channels and pixels they have in training: the first layer of large nets.

    A net that ends in global pooling takes other sizes as well.
    """

    def __init__(
        self,
        *,
        channels: int,
        height: int,
        width: int,
        mean: Sequence[float] | None = None,
        std: Sequence[float] | None = None,
    ):
        super().__init__(mean=mean, std=std)
        self.channels, self.height, self.width = channels, height, width

    def need(self, least: int, net: str) -> None:
        """Raise ConfigError if the pictures are smaller than `least` pixels along a side."""
        if min(self.height, self.width) < least:
            raise ConfigError(
                f"pictures of {self.height}x{self.width} are too small for {net}: it needs at least {least}x{least}"
            )

    def forward(self, x: Tensor) -> Tensor:  # (B, C, H, W) -> (B, C, H, W)
        if x.shape[1] != self.channels:
            raise ConfigError(f"pictures with {x.shape[1]} channels given to a net for {self.channels}")
        return super().forward(x)


def scaled(width: int, scale: float) -> int:
    """Return a published width times `scale`, as a multiple of eight; a scale of one changes nothing."""
    return max(8, 8 * round(width * scale / 8))


class Sign(nn.Module):
    """Return -1, 0 or 1. Its gradient is zero everywhere: backpropagation learns nothing through it."""

    def forward(self, x: Tensor) -> Tensor:
        return x.sign()


class Step(nn.Module):
    """Return 1 where x >= 0, else 0 (Heaviside). Its gradient is zero everywhere."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.heaviside(x.detach(), x.new_ones(()))


class Gated(nn.Module):
    """Let a second, learned layer decide how much of each feature passes: x * sigmoid(W x + b)."""

    def __init__(self, *, width: int):
        super().__init__()
        self.gate = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:  # (B, D, ...) -> (B, D, ...)
        return x * self.gate(x.movedim(1, -1)).sigmoid().movedim(-1, 1)


ACTIVATIONS: dict[str, Callable[[int], nn.Module]] = {
    "identity": lambda width: nn.Identity(),
    "sign": lambda width: Sign(),
    "step": lambda width: Step(),
    "sigmoid": lambda width: nn.Sigmoid(),
    "tanh": lambda width: nn.Tanh(),
    "relu": lambda width: nn.ReLU(),
    "leaky_relu": lambda width: nn.LeakyReLU(0.2),
    "prelu": lambda width: nn.PReLU(),
    "silu": lambda width: nn.SiLU(),
    "softplus": lambda width: nn.Softplus(),
    "gelu": lambda width: nn.GELU(),
    "elu": lambda width: nn.ELU(),
    "softmax": lambda width: nn.Softmax(dim=1),
    "gated": lambda width: Gated(width=width),
}


def activation(name: str, width: int = 1) -> nn.Module:
    """Return the activation called `name` for `width` features; raise ConfigError if there is none."""
    return choose("activation", name, ACTIVATIONS)(width)


class Instance(nn.GroupNorm):
    """Standardize each map of each example over its places, then scale and shift it."""

    def __init__(self, *, channels: int):
        super().__init__(channels, channels)

    def forward(self, x: Tensor) -> Tensor:  # (B, C, ...) -> (B, C, ...)
        if x.dim() < 3:
            raise ConfigError("instance norm averages over places, and a table has none; choose batch, layer or none")
        return super().forward(x)


def groups(channels: int) -> int:
    """Return 32, or the next smaller power of two that leaves at least two channels in a group."""
    return gcd(32, channels, max(1, channels // 2))


NORMS: dict[str, Callable[[int, int], nn.Module]] = {
    "none": lambda channels, dims: nn.Identity(),
    "batch": lambda channels, dims: (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)[dims - 1](channels),
    # one group that spans all channels: layer norm over (C, H, W) with a scale and a shift per channel
    "layer": lambda channels, dims: nn.LayerNorm(channels) if dims == 1 else nn.GroupNorm(1, channels),
    "group": lambda channels, dims: nn.GroupNorm(groups(channels), channels),
    "instance": lambda channels, dims: Instance(channels=channels),
}


def norm(name: str, channels: int, dims: int) -> nn.Module:
    """Return the norm called `name`; dims is 1 for (B, C) and (B, C, T), 2 for (B, C, H, W), 3 for volumes."""
    return choose("norm", name, NORMS)(channels, dims)
