"""The ball of allowed perturbations: directions, projections and random points. Norms are taken for each example alone.

linf: |d_i| <= eps for every pixel i        l2: sqrt(sum_i d_i^2) <= eps        l1: sum_i |d_i| <= eps
x + d in [0, 1] for all of them
"""

import math

import torch
from torch import Tensor

from dlcli.attacks.randomness import normal, uniform

INSIDE = 1 - 1e-6  # float32 lengths are right to about 3e-7; the ball is kept that much smaller
FEW = 0.05  # share of the pixels that a step in l1 moves
HALVINGS = 40  # of an interval, until float32 has no finer step


def per_example(values: Tensor, x: Tensor) -> Tensor:
    """Return (B,) as (B, 1, 1, 1), to go with pictures."""
    return values.view(-1, *[1] * (x.ndim - 1))


def length(delta: Tensor) -> Tensor:
    """Return the Euclidean length of each example, (B, 1, 1, 1), whatever the scale of its entries."""
    scale = delta.flatten(1).abs().amax(1).clamp(min=torch.finfo(delta.dtype).tiny)
    unit = delta / per_example(scale, delta)  # entries up to 1: their squares neither vanish nor overflow
    return per_example(unit.flatten(1).norm(dim=1) * scale, delta)


def distance(delta: Tensor, norm: str) -> Tensor:
    """Return the size (B,) of perturbations; l0 counts the places (H, W) where any channel differs."""
    if norm == "l0":
        return (delta != 0).any(1).flatten(1).sum(1).to(delta.dtype)
    if norm == "l2":
        return length(delta).flatten()
    return delta.flatten(1).abs().amax(1) if norm == "linf" else delta.flatten(1).abs().sum(1)


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


def step(here: Tensor, gradient: Tensor, size: float, norm: str) -> Tensor:
    """Return the steepest step of a size against a gradient.

    In l1 that is to change the pixels of largest gradient, each as far as the wall and no farther than an equal part
    of the size would be: to put it all on one pixel follows a curved net less well (Tramer and Boneh 2019).
    """
    if norm != "l1":
        return here - size * direction(gradient, norm)
    few = math.ceil(FEW * here[0].numel())
    flat, slope = here.flatten(1), gradient.flatten(1)
    room = torch.where(slope > 0, flat, 1 - flat).clamp(max=size / few).masked_fill(slope == 0, 0)
    order = slope.abs().argsort(dim=1, descending=True)
    room = room.gather(1, order)
    spent = (room - (room.cumsum(1) - size).clamp(min=0)).clamp(min=0)
    return here - torch.zeros_like(flat).scatter(1, order, spent).view_as(here) * gradient.sign()


def unit_sum(gradient: Tensor) -> Tensor:
    """Return gradients whose absolute entries sum to 1 for each example; zero stays zero."""
    scale = gradient.flatten(1).abs().amax(1).clamp(min=torch.finfo(gradient.dtype).tiny)
    unit = gradient / per_example(scale, gradient)
    total = unit.flatten(1).abs().sum(1).clamp(min=torch.finfo(gradient.dtype).tiny)
    return unit / per_example(total, gradient)


def project(moved: Tensor, x: Tensor, eps: float, norm: str) -> Tensor:
    """Return the pictures brought back into the ball around the original `x`, and into [0, 1]."""
    if norm == "linf":
        return torch.minimum(torch.maximum(moved, x - eps), x + eps).clamp(0, 1)
    delta = moved - x
    if norm == "l1":
        less = _shrunk(delta, x, eps)
        return _toward(x + less, x, less)
    shrink = eps * INSIDE / length(delta).clamp(min=eps * INSIDE)
    return (x + delta * shrink).clamp(0, 1)  # x lies in [0, 1]: clamping brings every pixel nearer to it


def _shrunk(delta: Tensor, x: Tensor, eps: float) -> Tensor:
    """Return the nearest change within l1 ball and box: all entries shrink by one number, then meet the walls.

    Croce and Hein 2021, arXiv:2103.01208; the number is found by halving.
    """
    low, high = torch.zeros(len(x), device=x.device), delta.flatten(1).abs().amax(1)

    def shrunk(by: Tensor) -> Tensor:
        less = (delta.abs() - per_example(by, x)).clamp(min=0) * delta.sign()
        return torch.minimum(torch.maximum(less, -x), 1 - x)

    fits = shrunk(low).flatten(1).abs().sum(1) <= eps * INSIDE
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        inside = shrunk(middle).flatten(1).abs().sum(1) <= eps * INSIDE
        low, high = torch.where(inside, low, middle), torch.where(inside, middle, high)
    return shrunk(high.masked_fill(fits, 0))


def _toward(moved: Tensor, x: Tensor, delta: Tensor) -> Tensor:
    """Undo what rounding added to a change: over many pixels it sums up."""
    beyond = (moved.double() - x.double()).abs() > delta.double().abs()
    return torch.where(beyond, torch.nextafter(moved, x), moved).clamp(0, 1)


def inside(x: Tensor, eps: float, norm: str, seed: int, stream: int, index: Tensor) -> Tensor:
    """Return a random start for each example: uniform in the ball."""
    size = x[0].numel()
    if norm == "linf":
        return project(x + eps * (2 * uniform(seed, stream, index, size) - 1).view_as(x), x, eps, norm)
    if norm == "l1":  # shares of size + 1 exponential numbers, of which the last is left out
        sizes = -uniform(seed, stream + 1, index, size + 1).log()
        shares = (sizes[:, :size] / sizes.sum(1, keepdim=True)).view_as(x)
        return project(x + eps * shares * _signs(x, seed, stream, index), x, eps, norm)
    radius = eps * uniform(seed, stream + 1, index, 1) ** (1 / size)  # (B, 1): a shell's volume grows with its radius
    way = direction(normal(seed, stream, index, size).view_as(x), norm)
    return project(x + per_example(radius, x) * way, x, eps, norm)


def surface(x: Tensor, eps: float, norm: str, seed: int, stream: int, index: Tensor) -> Tensor:
    """Return noise of the full size for each example: a corner of the cube, or a point of the sphere."""
    draw = normal(seed, stream, index, x[0].numel()).view_as(x)
    if norm == "l1":
        shares = unit_sum(-uniform(seed, stream, index, x[0].numel()).log().view_as(x))
        return project(x + eps * shares * _signs(x, seed, stream + (1 << 20), index), x, eps, norm)
    return project(x + eps * direction(draw, norm), x, eps, norm)


def _signs(x: Tensor, seed: int, stream: int, index: Tensor) -> Tensor:
    return (uniform(seed, stream, index, x[0].numel()) - 0.5).sign().view_as(x)
