"""How well two vectors fit: the four scores of attention.

    dot       a . b                                                       as large as the vectors are long
    cosine    a . b / (|a| |b|)                                           in [-1, 1]
    bilinear  a' W b             W (D, D)                                 a and b may speak of different things
    mlp       sigmoid(w [a; b])  w (2 D,), without bias                   in (0, 1)

Dot and bilinear: Luong, Pham & Manning 2015 (arXiv:1508.04025); a perceptron: Bahdanau, Cho & Bengio 2015
(arXiv:1409.0473); cosine: Graves, Wayne & Danihelka 2014 (arXiv:1410.5401). A softmax over scores of a small range is
nearly flat: of T words none gets more than e^2 / T (cosine) or e / T (mlp) of the attention.

a, b (..., D) of shapes that broadcast, score (...).
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dlcli.nets.layers import choose


class Dot(nn.Module):
    """Multiply feature by feature and add up."""

    def forward(self, a: Tensor, b: Tensor) -> Tensor:  # (..., D), (..., D) -> (...)
        return (a * b).sum(-1)


class Cosine(nn.Module):
    """Return the cosine of the angle between two vectors."""

    def forward(self, a: Tensor, b: Tensor) -> Tensor:  # (..., D), (..., D) -> (...)
        return F.cosine_similarity(a, b, dim=-1)


class Bilinear(nn.Module):
    """Learn which feature of one vector goes with which of the other."""

    def __init__(self, *, width: int):
        super().__init__()
        self.map = nn.Linear(width, width, bias=False)

    def forward(self, a: Tensor, b: Tensor) -> Tensor:  # (..., D), (..., D) -> (...)
        return (a * self.map(b)).sum(-1)


class Perceptron(nn.Module):
    """Learn one weight for each feature of both vectors, and squash their sum."""

    def __init__(self, *, width: int):
        super().__init__()
        self.map = nn.Linear(2 * width, 1, bias=False)

    def forward(self, a: Tensor, b: Tensor) -> Tensor:  # (..., D), (..., D) -> (...)
        return self.map(torch.cat(torch.broadcast_tensors(a, b), dim=-1)).squeeze(-1).sigmoid()


SCORES: dict[str, Callable[[int], nn.Module]] = {
    "dot": lambda width: Dot(),
    "cosine": lambda width: Cosine(),
    "bilinear": lambda width: Bilinear(width=width),
    "mlp": lambda width: Perceptron(width=width),
}


def score(name: str, width: int) -> nn.Module:
    """Return the score called `name` for vectors of `width` features; raise ConfigError if there is none."""
    return choose("score", name, SCORES)(width)
