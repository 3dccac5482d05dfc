"""Generators and critics of GANs, fully connected; what every critic reads from its features; an autoencoder as critic.

A generator maps codes (B, sum of `inputs`) to examples (B, *shape): pixels in [0, 1]. A critic maps x, and the class or
whatever else it is told (B, told), to (B, 1 + answers): a logit that x is real, and what further it is asked to guess.

The lecture's pair for MNIST: critic 784-300-100-1 with 265,701 weights, generator 100-300-784 with 266,284; leaky ReLU
with slope 0.2, and no sigmoid at the end of the critic.

What a critic is told joins its inputs (Mirza & Osindero 2014, arXiv:1411.1784), or, with `projection`, is compared with
its features h:  logit = w h + b + <V told, h>                            (Miyato & Koyama 2018, arXiv:1802.05637).
Minibatch discrimination: `kernels` further features tell how like an example is to the others of its batch (Salimans et
al. 2016, arXiv:1606.03498). norm=spectral divides each weight matrix by its largest singular value (Miyato et al. 2018,
arXiv:1802.05957).
"""

from collections.abc import Sequence
from itertools import pairwise
from math import prod

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from dlcli.nets.layers import Normalize, activation
from dlcli.nets.mlp import block

ACTIVATION = "leaky_relu"
ROWS = 5  # numbers of an example that each kernel compares


class Generator(nn.Module):
    """A fully connected generator; `inputs` are the numbers of noise and of whatever else a code holds."""

    def __init__(
        self,
        *,
        inputs: Sequence[int],
        widths: Sequence[int],
        shape: Sequence[int],
        norm: str = "none",
        output: str = "sigmoid",
    ):
        super().__init__()
        self.inputs = list(inputs)
        sizes = [sum(inputs), *widths]
        hidden = [layer for pair in pairwise(sizes) for layer in block(*pair, ACTIVATION, norm, 0.0)]
        self.layers = nn.Sequential(
            *hidden, nn.Linear(sizes[-1], prod(shape)), activation(output), nn.Unflatten(1, tuple(shape))
        )

    def forward(self, codes: Tensor) -> Tensor:  # (B, inputs) -> (B, *shape)
        return self.layers(codes)


class Variety(nn.Module):
    """Tell how like each example is to the others of its batch, by `kernels` measures (minibatch discrimination).

    o_k(b) = mean over c != b of exp(-|M_bk - M_ck|_1), M = T h. A mean, not the paper's sum, so that the size of the
    batch does not matter.
    """

    mixes_examples = True

    def __init__(self, *, features: int, kernels: int):
        super().__init__()
        self.kernels = kernels
        self.project = nn.Linear(features, kernels * ROWS, bias=False)

    def forward(self, h: Tensor) -> Tensor:  # (B, features) -> (B, kernels)
        rows = self.project(h).view(len(h), self.kernels, ROWS)
        near = (rows[:, None] - rows[None]).abs().sum(3).neg().exp()  # (B, B, kernels)
        return (near.sum(1) - 1) / max(1, len(h) - 1)


class Critic(nn.Module):
    """What all critics share: the features are made by `features`, the rest is read from them."""

    def __init__(self, *, classes: int = 0, projection: bool = False, kernels: int = 0, answers: Sequence[int] = ()):
        super().__init__()
        self.projection, self.kernels, self.outputs = projection, kernels, 1 + sum(answers)
        self.classes, self.joined = classes, 0 if projection else classes

    def finish(self, features: int, norm: str) -> None:
        """Add what reads the features, and bound all layers if norm=spectral."""
        self.variety = Variety(features=features, kernels=self.kernels) if self.kernels else None
        self.head = nn.Linear(features + self.kernels, self.outputs)
        self.match = nn.Linear(self.classes, features, bias=False) if self.projection and self.classes else None
        if norm == "spectral":
            for layer in list(self.modules()):
                if isinstance(layer, nn.Linear | nn.Conv2d):
                    spectral_norm(layer)

    def features(self, x: Tensor, told: Tensor | None = None) -> Tensor:
        """Return the last hidden layer, (B, ...) -> (B, features)."""
        raise NotImplementedError(f"{type(self).__name__} has no features")

    def joining(self, x: Tensor, told: Tensor | None) -> Tensor:
        """Put what is told behind the features (B, D), or as maps of one value behind the channels of (B, C, H, W)."""
        if not self.joined or told is None:
            return x
        told = told.to(x.dtype).view(*told.shape, *[1] * (x.dim() - 2))
        return torch.cat([x, told.expand(-1, -1, *x.shape[2:])], 1)

    def forward(self, x: Tensor, told: Tensor | None = None) -> Tensor:  # (B, ...) -> (B, 1 + answers)
        h = self.features(x, told)
        found = self.head(h if self.variety is None else torch.cat([h, self.variety(h)], 1))
        if self.match is None or told is None:
            return found
        likeness = (self.match(told.to(h.dtype)) * h).sum(1, keepdim=True)
        return torch.cat([found[:, :1] + likeness, found[:, 1:]], 1)


class MLPCritic(Critic):
    """A fully connected critic."""

    def __init__(
        self,
        *,
        inputs: int,
        widths: Sequence[int],
        norm: str = "none",
        normalize: Normalize | None = None,
        classes: int = 0,
        projection: bool = False,
        kernels: int = 0,
        answers: Sequence[int] = (),
    ):
        super().__init__(classes=classes, projection=projection, kernels=kernels, answers=answers)
        self.normalize = normalize or Normalize()
        sizes = [inputs + self.joined, *widths]
        layers = [layer for pair in pairwise(sizes) for layer in block(*pair, ACTIVATION, plain(norm), 0.0)]
        self.layers = nn.Sequential(*layers)
        self.finish(sizes[-1], norm)

    def features(self, x: Tensor, told: Tensor | None = None) -> Tensor:
        return self.layers(self.joining(self.normalize(x).flatten(1), told))


class Rebuilder(nn.Module):
    """An autoencoder of pixels, which says by what it rebuilds badly that it is not real (BEGAN)."""

    def __init__(self, *, encoder: nn.Module, decoder: nn.Module):
        super().__init__()
        self.encoder, self.decoder = encoder, decoder

    def features(self, x: Tensor) -> Tensor:
        """Return the code, (B, ...) -> (B, Z)."""
        return self.encoder(x)

    def forward(self, x: Tensor) -> Tensor:  # (B, ...) -> (B, ...)
        return self.decoder(self.encoder(x)).sigmoid()


def plain(norm: str) -> str:
    """Return the norm between the layers: a spectral one belongs to the weights, not between them."""
    return "none" if norm == "spectral" else norm
