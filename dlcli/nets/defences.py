"""Wrappers that treat a picture before a net sees it, in the hope that what an attack added is lost.

    noise          logits(x) = log 1/N sum_n softmax net(x + e_n),   e_n ~ N(0, std^2), new in every answer
    quantization   x' = round((L - 1) x) / (L - 1)                  L grey levels
    squeezing      quantization, then the median of k x k pixels    (Xu, Evans & Qi 2018, arXiv:1704.01155)

Noise makes gradients random, rounding makes them zero: both are harder to attack, which is not the same as robust
(Athalye, Carlini & Wagner 2018, arXiv:1802.00420). Attack the first with attack.eot above 1, the others without
gradients (attack=square) or through another run (transfer_from=RUN).

x (B, C, H, W) in [0, 1].
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dlcli.errors import ConfigError


class Noisy(nn.Module):
    """Add noise to pictures in every answer, and while learning too if `training`; average over `draws` answers."""

    def __init__(self, *, net: nn.Module, std: float = 0.1, draws: int = 1, training: bool = False):
        super().__init__()
        if not 0 <= std < float("inf") or draws < 1:
            raise ConfigError(f"std={std} draws={draws}: std must be at least 0, draws at least 1")
        self.net, self.std, self.draws, self.while_learning = net, std, draws, training

    def forward(self, x: Tensor) -> Tensor:  # (B, C, H, W) -> (B, classes)
        if self.training:
            return self.net(x + self.std * torch.randn_like(x) if self.while_learning else x)
        if self.draws == 1:
            return self.net(x + self.std * torch.randn_like(x))
        votes = torch.stack([self.net(x + self.std * torch.randn_like(x)).log_softmax(1) for _ in range(self.draws)])
        return votes.logsumexp(0) - math.log(self.draws)


class Squeezed(nn.Module):
    """Leave `levels` grey levels, and the median of each square of `median` pixels (1: none)."""

    def __init__(self, *, net: nn.Module, levels: int = 2, median: int = 1):
        super().__init__()
        if levels < 2 or median < 1 or median % 2 == 0:
            raise ConfigError(f"levels={levels} median={median}: at least 2 levels, and an odd number of pixels")
        self.net, self.levels, self.median = net, levels, median

    def forward(self, x: Tensor) -> Tensor:  # (B, C, H, W) -> (B, classes)
        return self.net(median(((self.levels - 1) * x).round() / (self.levels - 1), self.median))


def median(x: Tensor, size: int) -> Tensor:  # (B, C, H, W) -> (B, C, H, W)
    """Return the median of the square of `size` pixels around each pixel; the border is mirrored."""
    if size == 1:
        return x
    padded = F.pad(x, [size // 2] * 4, mode="reflect")
    squares = padded.unfold(2, size, 1).unfold(3, size, 1)  # (B, C, H, W, size, size)
    return squares.flatten(-2).sort(-1).values[..., size**2 // 2]  # `median` does not repeat to the bit on a GPU
