"""The Boltzmann machine (Ackley, Hinton & Sejnowski 1985): binary units, any of them linked to any other.

    E(s) = -b s - sum_{i<j} s_i w_ij s_j,    P(s_i = 1 | all others) = sigmoid((b + W s)_i / T)

s (B, U) the V visible and then the H hidden units, b `bias` (U,), W the symmetric links (U, U), zero on the diagonal.
T is the temperature: high ones let the machine leave a valley of the energy, T = 1 is the machine itself. Units that
are linked cannot be drawn at the same time, so a sweep goes through them one by one. Without the lateral links within a
layer it is a restricted Boltzmann machine, with those of the visible units alone a semi-restricted one.
"""

import torch
from torch import Tensor, nn


class Boltzmann(nn.Module):
    """Binary units with symmetric links; those within the visible or the hidden layer may be left out."""

    mask: Tensor  # (U, U) ones above the diagonal where two units are linked

    def __init__(
        self,
        *,
        visible: int,
        hidden: int,
        lateral_visible: bool = True,
        lateral_hidden: bool = True,
        scale: float = 0.01,
    ):
        super().__init__()
        self.visible, units = visible, visible + hidden
        self.weight = nn.Parameter(scale * torch.randn(units, units))  # only what `mask` names is read
        self.bias = nn.Parameter(torch.zeros(units))
        mask = torch.ones(units, units).triu(1)
        mask[:visible, :visible] *= lateral_visible
        mask[visible:, visible:] *= lateral_hidden
        self.register_buffer("mask", mask)

    def links(self) -> Tensor:
        """Return the symmetric weights W, (U, U)."""
        upper = self.weight * self.mask
        return upper + upper.T

    def energy(self, s: Tensor) -> Tensor:
        """Return E(s), (..., U) -> (...)."""
        return -s @ self.bias - ((s @ (self.weight * self.mask)) * s).sum(-1)

    def sweep(self, s: Tensor, temperature: float = 1.0, clamped: int = 0) -> Tensor:
        """Draw each unit in turn, but for the first `clamped` ones, (B, U) -> (B, U)."""
        links, s = self.links(), s.clone()
        for i in range(clamped, s.shape[1]):
            p = ((s @ links[i] + self.bias[i]) / temperature).sigmoid()
            s[:, i] = torch.rand_like(p).lt_(p)
        return s

    def anneal(self, s: Tensor, sweeps: int, hottest: float = 1.0, clamped: int = 0) -> Tensor:
        """Take sweeps while the temperature falls from `hottest` to 1 in equal ratios; the last one is always at 1."""
        for k in range(sweeps):
            done = k / (sweeps - 1) if sweeps > 1 else 1
            s = self.sweep(s, hottest ** (1 - done), clamped)
        return s
