"""Polynomial regression: a linear map of the powers of one number.

    y = sum over n <= degree of w_n sqrt(2n + 1) P_n(u),   u = (x - mean) / (sqrt(3) std)

P_n is Legendre's polynomial. The bare powers 1, x, x^2 ... span the same curves, but differ in size by orders of
magnitude, so that gradient descent crawls. These features are uncorrelated with variance 1 where x is uniform
(then u fills [-1, 1]), and one learning rate suits them all.

x (B, 1), features (B, degree), y (B, outputs); n = 0 is the bias.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from dlcli.errors import ConfigError
from dlcli.nets.layers import Normalize


def legendre(u: Tensor, degree: int) -> Tensor:
    """Return sqrt(2n + 1) P_n(u) for n = 1 ... degree, by (n + 1) P_(n+1) = (2n + 1) u P_n - n P_(n-1)."""
    before, now, columns = torch.ones_like(u), u, []
    for n in range(1, degree + 1):
        columns.append((2 * n + 1) ** 0.5 * now)
        before, now = now, ((2 * n + 1) * u * now - n * before) / (n + 1)
    return torch.cat(columns, dim=1)  # (B, degree)


class Polynomial(nn.Module):
    """A polynomial of the given degree, linear in its weights."""

    def __init__(
        self,
        *,
        degree: int,
        inputs: int = 1,
        outputs: int = 1,
        mean: Sequence[float] | None = None,
        std: Sequence[float] | None = None,
    ):
        super().__init__()
        if degree < 1:
            raise ConfigError(f"degree={degree}: a polynomial needs a degree of at least 1")
        if inputs != 1:
            raise ConfigError(f"inputs={inputs}: a polynomial takes one number per example; use data=polynomial")
        self.degree = degree
        self.normalize = Normalize(mean=mean, std=std)
        self.head = nn.Linear(degree, outputs)

    def forward(self, x: Tensor) -> Tensor:  # (B, 1) -> (B, outputs)
        return self.head(legendre(self.normalize(x) / 3**0.5, self.degree))
