"""Pooling in one, two and three dimensions, chosen by name: what halves a map, and what is left of it as a whole.

    output size  o = floor((i - k) / s) + 1

max, mean, sum and l2 (root of the sum of squares) look at 2 places along each side; overlapping takes the maximum of 3,
2 apart (Krizhevsky et al. 2012); trainable is LeCun et al. 1998: sigmoid(w_c sum + b_c), two weights per map.
Global pooling (Lin et al. 2014, arXiv:1312.4400) leaves one number per map, whatever the size of the picture.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from dlcli.nets.layers import choose

MAX = {1: nn.MaxPool1d, 2: nn.MaxPool2d, 3: nn.MaxPool3d}
MEAN = {1: nn.AvgPool1d, 2: nn.AvgPool2d, 3: nn.AvgPool3d}
GLOBAL_MEAN = {1: nn.AdaptiveAvgPool1d, 2: nn.AdaptiveAvgPool2d, 3: nn.AdaptiveAvgPool3d}
GLOBAL_MAX = {1: nn.AdaptiveMaxPool1d, 2: nn.AdaptiveMaxPool2d, 3: nn.AdaptiveMaxPool3d}


class Sum(nn.Module):
    """Add up the places of each window."""

    def __init__(self, *, dims: int = 2):
        super().__init__()
        self.mean, self.places = MEAN[dims](2), 2**dims

    def forward(self, x: Tensor) -> Tensor:  # (B, C, H, W) -> (B, C, H / 2, W / 2)
        return self.mean(x) * self.places


class Length(nn.Module):
    """Return the root of the sum of squares of each window; a window of zeros has the gradient zero."""

    def __init__(self, *, dims: int = 2):
        super().__init__()
        self.sum = Sum(dims=dims)

    def forward(self, x: Tensor) -> Tensor:  # (B, C, H, W) -> (B, C, H / 2, W / 2)
        return (self.sum(x * x) + 1e-12).sqrt()  # torch's LPPool gives NaN gradients after a ReLU


class Trainable(nn.Module):
    """Scale and shift the sum of each window by two learned numbers per map, then bend it with `activation`."""

    def __init__(self, *, channels: int, dims: int = 2, activation: nn.Module | None = None):
        super().__init__()
        self.sum = Sum(dims=dims)
        self.scale = nn.Parameter(torch.full((channels,), 0.5**dims))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.activation = activation or nn.Sigmoid()
        self.shape = (-1, *[1] * dims)

    def forward(self, x: Tensor) -> Tensor:  # (B, C, H, W) -> (B, C, H / 2, W / 2)
        return self.activation(self.sum(x) * self.scale.view(self.shape) + self.bias.view(self.shape))


POOLINGS: dict[str, Callable[[int, int], nn.Module]] = {
    "none": lambda channels, dims: nn.Identity(),
    "max": lambda channels, dims: MAX[dims](2),
    "mean": lambda channels, dims: MEAN[dims](2),
    "sum": lambda channels, dims: Sum(dims=dims),
    "l2": lambda channels, dims: Length(dims=dims),
    "overlapping": lambda channels, dims: MAX[dims](3, 2, 1),
    "trainable": lambda channels, dims: Trainable(channels=channels, dims=dims),
}

HEADS: dict[str, Callable[[int], nn.Module]] = {
    "mean": lambda dims: GLOBAL_MEAN[dims](1),
    "max": lambda dims: GLOBAL_MAX[dims](1),
}


def pooling(name: str, channels: int, dims: int = 2) -> nn.Module:
    """Return the pooling called `name`, which halves each side; raise ConfigError if there is none."""
    return choose("pooling", name, POOLINGS)(channels, dims)


def whole(name: str, dims: int = 2) -> nn.Module:
    """Return the pooling over all places called `name`, (B, C, ...) -> (B, C): any size of picture will do."""
    return nn.Sequential(choose("global pooling", name, HEADS)(dims), nn.Flatten())
