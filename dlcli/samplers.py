"""Where in the latent space to draw: each class is called as `sampler(n, latent, encode)` and returns z (n, latent).

`encode(count)` gives the codes of `count` examples; without it, the ends of an interpolation come from the prior.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from dlcli.errors import ConfigError

Encode = Callable[[int], Tensor]


@dataclass(frozen=True)
class Prior:
    """Draw from the prior: z = temperature * N(0, 1). Below 1 the samples are more typical and less varied."""

    temperature: float = 1.0

    def __call__(self, n: int, latent: int, encode: Encode | None = None) -> Tensor:
        return self.temperature * torch.randn(n, latent)


@dataclass(frozen=True)
class Interpolation:
    """Walk between random pairs of codes in `steps` equal steps, one pair after the other.

    path=linear:    (1 - t) a + t b
    path=spherical: (sin((1 - t) w) a + sin(t w) b) / sin w, w the angle between a and b (Shoemake 1985). It keeps
                    the length that codes of the prior have: the straight line passes through atypically short ones.
    """

    steps: int = 8
    path: str = "spherical"

    def __post_init__(self) -> None:
        if self.path not in ("linear", "spherical"):
            raise ConfigError(f"unknown path {self.path!r}: choose linear or spherical")
        if self.steps < 2:
            raise ConfigError(f"steps={self.steps}: an interpolation needs both its ends, so at least 2 steps")

    def __call__(self, n: int, latent: int, encode: Encode | None = None) -> Tensor:
        pairs = -(-n // self.steps)
        ends = torch.randn(2 * pairs, latent) if encode is None else encode(2 * pairs)
        first, last = ends.view(pairs, 2, 1, latent).unbind(1)  # (pairs, 1, latent) each
        share = torch.linspace(0, 1, self.steps, device=ends.device).view(1, -1, 1)
        walk = linear if self.path == "linear" else spherical
        return walk(first, last, share).reshape(-1, latent)[:n]


def linear(first: Tensor, last: Tensor, share: Tensor) -> Tensor:
    """Return the points at `share` of the straight line."""
    return first + share * (last - first)


def spherical(first: Tensor, last: Tensor, share: Tensor) -> Tensor:
    """Return the points at `share` of the arc; a straight line where the ends are parallel."""
    angle = torch.cosine_similarity(first, last, dim=-1).clamp(-1, 1).acos().unsqueeze(-1)
    arc = (((1 - share) * angle).sin() * first + (share * angle).sin() * last) / angle.sin()
    return torch.where(angle.sin() < 1e-4, linear(first, last, share), arc)


@dataclass(frozen=True)
class Manifold:
    """Lay a square grid over a latent space of two dimensions, its lines at equal shares of the prior's mass.

    The unit square goes through the inverse of the normal distribution function (Kingma & Welling 2014, figure 4).
    """

    def __call__(self, n: int, latent: int, encode: Encode | None = None) -> Tensor:
        if latent != 2:
            raise ConfigError(
                f"sampler=manifold draws a plane, but the model has latent={latent}; "
                "train one with model.latent=2, or use sampler=prior or sampler=interpolation"
            )
        side = next(k for k in range(1, n + 2) if k * k >= n)
        line = torch.special.ndtri((torch.arange(side) + 0.5) / side)
        return torch.cartesian_prod(line, line)[:n]
