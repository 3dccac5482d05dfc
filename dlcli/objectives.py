"""What critic and generator of a GAN descend: pairs of losses of the critic's outputs.

    minimax        critic E[-log D(x)] + E[-log(1 - D(G(z)))],       generator E[log(1 - D(G(z)))]
    nonsaturating  the same critic,                                   generator E[-log D(G(z))]
                                                                      (Goodfellow et al. 2014, arXiv:1406.2661)
    wasserstein    critic E[f(G(z))] - E[f(x)],                       generator -E[f(G(z))]
                                                                      (Arjovsky et al. 2017, arXiv:1701.07875)
    least squares  critic E[(f(x) - 1)^2] + E[f(G(z))^2],             generator E[(f(G(z)) - 1)^2]
                                                                      (Mao et al. 2017, arXiv:1611.04076)
    hinge          critic E[max(0, 1 - f(x))] + E[max(0, 1 + f(G(z)))],  generator -E[f(G(z))]
                                                                      (Lim & Ye 2017, arXiv:1705.02894)

f (B,) is the output of the critic, without any last activation; D = sigmoid(f) is the probability that x is real. Where
D = 1/2 everywhere, the minimax losses are 2 log 2 and -log 2: the equilibrium. The second loss of least squares must be
descended as it stands here; with a minus before it, as some lectures print it, it has no lower bound.

One-sided label smoothing s (Salimans et al. 2016, arXiv:1606.03498): the critic is to say 1 - s of what is real.
"""

from dataclasses import dataclass
from typing import ClassVar

import torch.nn.functional as F
from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class Minimax:
    """Two players of one zero-sum game; the generator's gradient vanishes while the critic wins."""

    smoothing: float = 0.0
    slope_bound: ClassVar[bool] = False  # whether the losses make sense only for critics of bounded slope

    def critic(self, real: Tensor, fake: Tensor) -> Tensor:
        """Return the cross-entropy of real examples (target 1 - smoothing) and generated ones (target 0)."""
        return (F.softplus(-real) + self.smoothing * real).mean() + F.softplus(fake).mean()

    def generator(self, fake: Tensor) -> Tensor:
        """Return log(1 - D), to be lowered."""
        return -F.softplus(fake).mean()


@dataclass(frozen=True, kw_only=True)
class Nonsaturating(Minimax):
    """The critic of the minimax game, and a generator that wants its examples called real (labels turned round)."""

    def generator(self, fake: Tensor) -> Tensor:
        """Return -log D."""
        return F.softplus(-fake).mean()


@dataclass(frozen=True, kw_only=True)
class Wasserstein:
    """The critic measures how far apart the two distributions are; its slope must be bounded by something else."""

    slope_bound: ClassVar[bool] = True

    def critic(self, real: Tensor, fake: Tensor) -> Tensor:
        """Return minus the distance."""
        return fake.mean() - real.mean()

    def generator(self, fake: Tensor) -> Tensor:
        """Return what the generator can lower of the distance."""
        return -fake.mean()


@dataclass(frozen=True, kw_only=True)
class LeastSquares:
    """Regression to 1 for real examples and 0 for generated ones, so that far outliers are pulled too."""

    slope_bound: ClassVar[bool] = False

    def critic(self, real: Tensor, fake: Tensor) -> Tensor:
        """Return the squared errors."""
        return (real - 1).square().mean() + fake.square().mean()

    def generator(self, fake: Tensor) -> Tensor:
        """Return the squared error if the generated examples were real."""
        return (fake - 1).square().mean()


@dataclass(frozen=True, kw_only=True)
class Hinge:
    """The critic cares only for examples that lie within its margin or on the wrong side."""

    slope_bound: ClassVar[bool] = False

    def critic(self, real: Tensor, fake: Tensor) -> Tensor:
        """Return how far the margins are violated."""
        return (1 - real).relu().mean() + (1 + fake).relu().mean()

    def generator(self, fake: Tensor) -> Tensor:
        """Return minus the output of the critic."""
        return -fake.mean()
