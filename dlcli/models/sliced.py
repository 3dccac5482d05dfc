"""Sliced Wasserstein distance (Rabin et al. 2012; Bonneel et al. 2015): how far apart two sets of examples lie.

    SW = mean over directions t of mean_i |a_(i) - b_(i)|,   a = sort(X t), b = sort(Y t),   |t| = 1

X, Y (N, ...) of as many examples; a, b are their shadows on a line, sorted. The directions are always the same ones, so
that numbers of different runs and epochs compare. It is zero only for equal sets: two draws of N examples from one and
the same distribution already lie apart, the farther the fewer they are.
"""

import torch
from torch import Tensor

DIRECTIONS = 128


def shadows(x: Tensor) -> Tensor:
    """Return where examples lie along each direction, (B, ...) -> (B, DIRECTIONS)."""
    flat = x.flatten(1).float()
    stream = torch.Generator().manual_seed(0)
    lines = torch.randn(flat.shape[1], DIRECTIONS, generator=stream)
    with torch.autocast(flat.device.type, enabled=False):
        return flat @ (lines / lines.norm(dim=0)).to(flat.device)


def distance(some: Tensor, others: Tensor) -> float:
    """Return the distance of two sets, given their shadows (N, DIRECTIONS) each."""
    return (some.double().sort(0).values - others.double().sort(0).values).abs().mean().item()
