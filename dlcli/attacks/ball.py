"""The ball of allowed perturbations: directions, projections and random points. Norms are taken for each example alone.

linf: |d_i| <= eps for every pixel i        l2: sqrt(sum_i d_i^2) <= eps        x + d in [0, 1] for both
"""

import torch
from torch import Tensor

from dlcli.attacks.randomness import normal, uniform

INSIDE = 1 - 1e-6  # float32 lengths are right to about 3e-7; the ball is kept that much smaller


def per_example(values: Tensor, x: Tensor) -> Tensor:
    """Return (B,) as (B, 1, 1, 1), to go with pictures."""
    return values.view(-1, *[1] * (x.ndim - 1))


def length(delta: Tensor) -> Tensor:
    """Return the Euclidean length of each example, (B, 1, 1, 1), whatever the scale of its entries."""
    scale = delta.flatten(1).abs().amax(1).clamp(min=torch.finfo(delta.dtype).tiny)
    unit = delta / per_example(scale, delta)  # entries up to 1: their squares neither vanish nor overflow
    return per_example(unit.flatten(1).norm(dim=1) * scale, delta)


def direction(gradient: Tensor, norm: str) -> Tensor:
    """Return the steepest direction of unit size; a zero gradient has none and stays zero.

    The floor is the smallest float, not a number such as 1e-12 under a root: that would shrink the steps of a confident
    net, whose gradients are tiny, and make it look robust.
    """
    if norm == "linf":
        return gradient.sign()
    scale = gradient.flatten(1).abs().amax(1).clamp(min=torch.finfo(gradient.dtype).tiny)
    unit = gradient / per_example(scale, gradient)
    return unit / length(unit).clamp(min=torch.finfo(gradient.dtype).tiny)


def project(moved: Tensor, x: Tensor, eps: float, norm: str) -> Tensor:
    """Return the pictures brought back into the ball around the original `x`, and into [0, 1]."""
    if norm == "linf":
        return torch.minimum(torch.maximum(moved, x - eps), x + eps).clamp(0, 1)
    delta = moved - x
    shrink = eps * INSIDE / length(delta).clamp(min=eps * INSIDE)
    return (x + delta * shrink).clamp(0, 1)  # x lies in [0, 1]: clamping brings every pixel nearer to it


def inside(x: Tensor, eps: float, norm: str, seed: int, stream: int, index: Tensor) -> Tensor:
    """Return a random start for each example: uniform in the ball."""
    size = x[0].numel()
    if norm == "linf":
        return project(x + eps * (2 * uniform(seed, stream, index, size) - 1).view_as(x), x, eps, norm)
    radius = eps * uniform(seed, stream + 1, index, 1) ** (1 / size)  # (B, 1): a shell's volume grows with its radius
    way = direction(normal(seed, stream, index, size).view_as(x), norm)
    return project(x + per_example(radius, x) * way, x, eps, norm)


def surface(x: Tensor, eps: float, norm: str, seed: int, stream: int, index: Tensor) -> Tensor:
    """Return noise of the full size for each example: a corner of the cube, or a point of the sphere."""
    way = direction(normal(seed, stream, index, x[0].numel()).view_as(x), norm)
    return project(x + eps * way, x, eps, norm)
