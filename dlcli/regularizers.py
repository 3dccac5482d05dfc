"""What keeps the critic of a GAN smooth: a term of its loss, or something done to its weights after each of its steps.

    Clipping         every weight is cut to [-c, c]                                (Arjovsky et al. 2017, 1701.07875)
    GradientPenalty  w E (|f'(u)| - 1)^2,  u = a x + (1 - a) x~,  a ~ U(0, 1) per example
                                                                                   (Gulrajani et al. 2017, 1704.00028)
    Dragan           w E (|f'(u)| - 1)^2,  u = x + c std(x) n,  n ~ N(0, 1)         (Kodali et al. 2017, 1705.07215)
    R1               w/2 E |f'(x)|^2                                               (Mescheder et al. 2018, 1801.04406)

x (B, ...) real and x~ generated examples, f' the gradient of the critic's output with regard to its input, pixels in
[0, 1], and | | its Euclidean norm over all numbers of an example. Each is called as `regularizer(critic, x, x~)` with
critic: (B, ...) -> (B,), and returns a scalar; slopes are taken in fp32 whatever the precision of the run, since
squares of small derivatives underflow.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

Critic = Callable[[Tensor], Tensor]


@dataclass(frozen=True, kw_only=True)
class Free:
    """Leave the critic alone: the neutral element, and the form of all the others."""

    bounds: ClassVar[bool] = False  # whether the slope of the critic stays bounded
    by_example: ClassVar[bool] = False  # whether it takes the slope for each example by itself

    def __call__(self, critic: Critic, real: Tensor, fake: Tensor) -> Tensor:
        return real.new_zeros(())

    def after(self, weights: Iterable[Tensor]) -> None:
        """Do to the weights what must be done after a step of the critic."""


@dataclass(frozen=True, kw_only=True)
class Clipping(Free):
    """Cut the weights: the slope of the critic is then bounded, by a number that nobody knows."""

    bounds: ClassVar[bool] = True
    limit: float = 0.01

    @torch.no_grad()
    def after(self, weights: Iterable[Tensor]) -> None:
        """Cut every weight that learns to [-limit, limit]."""
        for weight in weights:
            if weight.requires_grad:
                weight.clamp_(-self.limit, self.limit)


@dataclass(frozen=True, kw_only=True)
class GradientPenalty(Free):
    """Pull the slope to one on the straight lines between real and generated examples."""

    bounds: ClassVar[bool] = True
    by_example: ClassVar[bool] = True
    weight: float = 10.0

    def __call__(self, critic: Critic, real: Tensor, fake: Tensor) -> Tensor:
        share = torch.rand(len(real), *[1] * (real.dim() - 1), device=real.device)
        between = torch.lerp(fake.to(real.dtype), real, share)
        return self.weight * (slopes(critic, between).norm(dim=1) - 1).square().mean()


@dataclass(frozen=True, kw_only=True)
class Dragan(Free):
    """Pull the slope to one in the neighbourhood of real examples; `noise` in standard deviations of the batch."""

    bounds: ClassVar[bool] = True
    by_example: ClassVar[bool] = True
    weight: float = 10.0
    noise: float = 0.5

    def __call__(self, critic: Critic, real: Tensor, fake: Tensor) -> Tensor:
        near = real + self.noise * real.std() * torch.randn_like(real)
        return self.weight * (slopes(critic, near).norm(dim=1) - 1).square().mean()


@dataclass(frozen=True, kw_only=True)
class R1(Free):
    """Pull the slope to zero at real examples, so that at the equilibrium nothing moves the critic any more."""

    by_example: ClassVar[bool] = True
    weight: float = 10.0

    def __call__(self, critic: Critic, real: Tensor, fake: Tensor) -> Tensor:
        return self.weight / 2 * slopes(critic, real).square().sum(1).mean()


def slopes(critic: Critic, x: Tensor) -> Tensor:
    """Return the gradient of each output with regard to its own input, (B, ...) -> (B, D), to be differentiated."""
    with torch.autocast(x.device.type, enabled=False):
        x = x.detach().float().requires_grad_()
        (slope,) = torch.autograd.grad(critic(x).sum(), x, create_graph=True)
    return slope.flatten(1)
