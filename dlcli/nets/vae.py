"""Encoders and decoders of the variational autoencoder, fully connected and convolutional.

An encoder maps x to the mean and the log-variance of q(z|x), side by side: (B, 2 latent).
A decoder maps z (B, latent) to the logits or means of p(x|z), in the shape of x: (B, C, H, W) or (B, D).
Where the class y (B,) is known, it joins what either reads, as a one-hot vector.
"""

from collections.abc import Sequence
from itertools import pairwise
from math import prod

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dlcli.errors import ConfigError
from dlcli.nets.layers import Normalize, activation
from dlcli.nets.mlp import MLP


class Encoder(MLP):
    """A fully connected encoder; silencing inputs keeps it from learning codes by heart (Shu et al. 2018)."""

    def __init__(
        self,
        *,
        inputs: int,
        widths: Sequence[int],
        latent: int,
        activation: str = "relu",
        input_dropout: float = 0.0,
        mean: Sequence[float] | None = None,
        std: Sequence[float] | None = None,
    ):
        super().__init__(
            inputs=inputs,
            widths=widths,
            outputs=2 * latent,
            activation=activation,
            input_dropout=input_dropout,
            mean=mean,
            std=std,
        )


class ClassEncoder(MLP):
    """A fully connected encoder that knows the class, as one of `classes` further inputs."""

    def __init__(
        self,
        *,
        inputs: int,
        classes: int,
        widths: Sequence[int],
        latent: int,
        activation: str = "relu",
        mean: Sequence[float] | None = None,
        std: Sequence[float] | None = None,
    ):
        outputs = 2 * latent
        super().__init__(
            inputs=inputs + classes, widths=widths, outputs=outputs, activation=activation, mean=mean, std=std
        )
        self.classes = classes

    def forward(self, x: Tensor, y: Tensor) -> Tensor:  # type: ignore[override]  # (B, ...), (B,) -> (B, 2 latent)
        kinds = F.one_hot(y, self.classes).to(x.dtype)
        return self.layers(torch.cat([self.normalize(x).flatten(1), kinds], 1))


class Decoder(MLP):
    """A fully connected decoder; `shape` is that of one example, [C, H, W] or [D]; `classes` join the inputs."""

    def __init__(
        self,
        *,
        latent: int,
        widths: Sequence[int],
        shape: Sequence[int],
        activation: str = "relu",
        classes: int = 0,
    ):
        super().__init__(inputs=latent + classes, widths=widths, outputs=prod(shape), activation=activation)
        self.shape = tuple(shape)

    def forward(self, z: Tensor) -> Tensor:  # (B, latent) -> (B, *shape)
        return super().forward(z).view(-1, *self.shape)


def halvings(size: int, times: int) -> list[int]:
    """Return a height or width before and after each of `times` 4x4 convolutions with stride 2 and padding 1."""
    sizes = [size >> i for i in range(times + 1)]
    if sizes[-1] < 1:
        raise ConfigError(f"{size} pixels cannot be halved {times} times: give at most {size.bit_length() - 1} widths")
    return sizes


class ConvEncoder(nn.Module):
    """One 4x4 convolution with stride 2 per entry of `widths`, then a linear layer."""

    def __init__(
        self,
        *,
        channels: int,
        height: int,
        width: int,
        widths: Sequence[int],
        latent: int,
        activation: str = "relu",
        mean: Sequence[float] | None = None,
        std: Sequence[float] | None = None,
    ):
        super().__init__()
        area = halvings(height, len(widths))[-1] * halvings(width, len(widths))[-1]
        self.normalize = Normalize(mean=mean, std=std)
        self.layers = nn.Sequential(
            *[convolution(*pair, activation) for pair in pairwise([channels, *widths])],
            nn.Flatten(),
            nn.Linear(widths[-1] * area, 2 * latent),
        )

    def forward(self, x: Tensor) -> Tensor:  # (B, C, H, W) -> (B, 2 latent)
        return self.layers(self.normalize(x))


def convolution(fan_in: int, fan_out: int, function: str) -> nn.Sequential:
    """Return a convolution that halves height and width, and its activation."""
    return nn.Sequential(nn.Conv2d(fan_in, fan_out, 4, stride=2, padding=1), activation(function, fan_out))


class ConvDecoder(nn.Module):
    """The mirror of `ConvEncoder`, with the same `widths` (first entry nearest to the picture)."""

    def __init__(
        self,
        *,
        channels: int,
        height: int,
        width: int,
        widths: Sequence[int],
        latent: int,
        activation: str = "relu",
    ):
        super().__init__()
        rows, columns = halvings(height, len(widths))[-1], halvings(width, len(widths))[-1]
        self.layers = nn.Sequential(
            nn.Linear(latent, widths[-1] * rows * columns),
            nn.Unflatten(1, (widths[-1], rows, columns)),
            *expansions([channels, *widths], height, width, activation),
        )

    def forward(self, z: Tensor) -> Tensor:  # (B, latent) -> (B, C, H, W)
        return self.layers(z)


def expansions(widths: Sequence[int], height: int, width: int, function: str) -> list[nn.Sequential]:
    """Return what doubles maps of the last of `widths` channels until they are pictures of the first."""
    rows, columns = halvings(height, len(widths) - 1), halvings(width, len(widths) - 1)
    # what the halving rounded off comes back as output padding, so that every size is met exactly
    lost = [(h % 2, w % 2) for h, w in zip(rows[:-1], columns[:-1], strict=True)]
    steps = [*zip(pairwise(widths), lost, strict=True)][::-1]
    return [expansion(fan_in, fan_out, padding, function) for (fan_out, fan_in), padding in steps]


def expansion(fan_in: int, fan_out: int, lost: tuple[int, int], function: str) -> nn.Sequential:
    """Return an activation and a transposed convolution that doubles height and width."""
    return nn.Sequential(
        activation(function, fan_in),
        nn.ConvTranspose2d(fan_in, fan_out, 4, stride=2, padding=1, output_padding=lost),
    )
