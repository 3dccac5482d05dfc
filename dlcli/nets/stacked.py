"""Autoencoders on top of each other (Bengio et al. 2007, NIPS 19), and the classifier that takes over their encoders.

    h_0 = x,  h_i = f(W_i h_i-1 + b_i),   decoder i: U_i h_i + d_i, from which h_i-1 is rebuilt
    classifier: V h_n + c,   or with `join`  V [h_0, h_1, ..., h_n] + c

x (B, D) or what flattens to it, h_i (B, widths[i]), W_i (widths[i], widths[i-1]), U_i (widths[i-1], widths[i]).
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

from dlcli.nets.layers import Normalize
from dlcli.nets.mlp import block


class Autoencoders(nn.Module):
    """One autoencoder per entry of `widths`, each for the codes of the one below; `shape` is that of an example."""

    def __init__(
        self,
        *,
        shape: Sequence[int],
        widths: Sequence[int],
        activation: str = "sigmoid",
        mean: Sequence[float] | None = None,
        std: Sequence[float] | None = None,
    ):
        super().__init__()
        self.shape, self.widths, self.activation = tuple(shape), list(widths), activation
        sizes = [torch.Size(shape).numel(), *widths]
        self.normalize = Normalize(mean=mean, std=std)
        self.layers: Any = nn.ModuleList(
            nn.Sequential(*block(below, above, activation, "none", 0.0)) for below, above in pairwise(sizes)
        )
        self.decoders: Any = nn.ModuleList(nn.Linear(above, below) for below, above in pairwise(sizes))

    def path(self, x: Tensor, layers: int) -> list[Tensor]:
        """Return the standardized input and the codes of the first `layers` layers."""
        path = [self.normalize(x).flatten(1)]
        for layer in self.layers[:layers]:
            path.append(layer(path[-1]))
        return path

    def forward(self, x: Tensor) -> Tensor:  # (B, ...) -> (B, widths[-1])
        return self.path(x, len(self.layers))[-1]

    def leave(self, inputs: Tensor) -> Tensor:
        """Return standardized inputs as examples, (B, D) -> (B, *shape)."""
        return self.normalize.undo(inputs.view(-1, *self.shape))

    def upward(self) -> list[tuple[Tensor, Tensor]]:
        """Return weight and bias of each encoder."""
        return [(layer[0].weight, layer[0].bias) for layer in self.layers]


class Joined(nn.Module):
    """A multi-layer perceptron; with `join`, its output reads the input and every hidden layer side by side."""

    def __init__(
        self,
        *,
        inputs: int,
        widths: Sequence[int],
        outputs: int,
        activation: str = "sigmoid",
        join: bool = False,
        dropout: float = 0.0,
        mean: Sequence[float] | None = None,
        std: Sequence[float] | None = None,
    ):
        super().__init__()
        sizes = [inputs, *widths]
        self.normalize, self.join = Normalize(mean=mean, std=std), join
        self.layers = nn.ModuleList(
            nn.Sequential(*block(below, above, activation, "none", dropout)) for below, above in pairwise(sizes)
        )
        self.head = nn.Linear(sum(sizes) if join else sizes[-1], outputs)

    def forward(self, x: Tensor) -> Tensor:  # (B, ...) -> (B, outputs)
        path = [self.normalize(x).flatten(1)]
        for layer in self.layers:
            path.append(layer(path[-1]))
        return self.head(torch.cat(path, dim=1) if self.join else path[-1])
