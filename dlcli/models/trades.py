"""TRADES: accuracy on clean pictures, and the same answer all around them (Zhang et al. 2019, arXiv:1901.08573).

    loss = CE(net(x), y) + beta KL(p(x) || p(x')),   x' = argmax_{|x' - x| <= eps} KL(p(x) || p(x')),   p = softmax net

The true class does not enter the search. An attack lowers a margin: it is given two outputs, 100 - KL and 0, of which
it makes the first as small as it can, and never counts as won. The search starts at a random point of the ball; the
paper's starts close to x.

x (B, C, H, W), p (B, classes); KL in nats.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from dlcli.errors import ConfigError
from dlcli.models.robust import Search

FAR = 100.0  # a divergence in nats that answers to neighbouring pictures hardly reach


@dataclass(frozen=True, kw_only=True)
class Trades:
    """Descend the loss of clean pictures plus `beta` times the divergence of the answers around them."""

    beta: float = 6.0

    def __post_init__(self) -> None:
        """Refuse weights out of range."""
        if not 0 <= self.beta < float("inf"):
            raise ConfigError(f"model.goal.beta={self.beta} must be a weight of at least 0, such as 6")

    def __call__(self, net: Callable[[Tensor], Tensor], x: Tensor, y: Tensor, search: Search) -> Tensor:
        """Return the loss of one batch."""
        here: list[Tensor] = []  # the answers to x in the mode of the search

        def agreement(moved: Tensor) -> Tensor:  # (B, C, H, W) -> (B, 2)
            if not here:
                with torch.no_grad():
                    here.append(net(x).float().log_softmax(1))
            apart = divergence(here[0], net(moved)).clamp(max=FAR - 1)
            return torch.stack([FAR - apart, torch.zeros_like(apart)], 1)

        moved = search(agreement, x, torch.zeros(len(x), dtype=torch.int64, device=x.device))
        clean, other = net(torch.cat([x, moved])).float().chunk(2)
        return F.cross_entropy(clean, y) + self.beta * divergence(clean.log_softmax(1), other).mean()


def divergence(log_p: Tensor, logits: Tensor) -> Tensor:
    """Return KL(p || softmax(logits)) of each example, (B,)."""
    return F.kl_div(logits.float().log_softmax(1), log_p, reduction="none", log_target=True).sum(1)
