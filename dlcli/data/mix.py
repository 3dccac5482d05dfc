"""Augmentations that mix two pictures and what they show: labels become probabilities.

    mixup    x' = k x + (1 - k) x_partner,   y' = k y + (1 - k) y_partner,   k ~ Beta(alpha, alpha)
    cutmix   x' = x but for a box of share 1 - k of its area, which is cut from the partner; y' by the area that it got

x (B, C, H, W), y (B,) classes or (B, classes) probabilities. The partner of a picture is another one of the same batch.
Zhang, Cisse, Dauphin, Lopez-Paz, "mixup", 2018, arXiv:1710.09412; Yun et al., "CutMix", 2019, arXiv:1905.04899.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from dlcli.data.change import Augmentation, require
from dlcli.data.randomness import Draw
from dlcli.errors import ConfigError

POINTS = 4096  # of the quantile function of the Beta distribution


@dataclass(frozen=True, kw_only=True)
class Mix(Augmentation):
    """What both share: the share of each picture, its partner, and labels that become probabilities."""

    classes: int
    alpha: float = 1.0

    def __post_init__(self) -> None:
        require("alpha", self.alpha)

    def __call__(self, batch: Any, draw: Draw) -> Any:
        """Return mixed pictures and probabilities (B, classes)."""
        if batch.y.is_floating_point() != (batch.y.ndim == 2) or batch.y.ndim > 2:
            raise ConfigError(
                f"augment={type(self).__name__} mixes classes, not answers of shape {tuple(batch.y.shape)}; "
                "choose another augment"
            )
        share, partner = beta(draw(1), self.alpha), draw(1).flatten().argsort(stable=True)  # (B, 1), (B,)
        x, share = self.mixed(batch.x, batch.x[partner], share, draw)
        y = batch.y if batch.y.is_floating_point() else F.one_hot(batch.y, self.classes).float()
        return batch._replace(x=x, y=share * y + (1 - share) * y[partner])

    def mixed(self, x: Tensor, other: Tensor, share: Tensor, draw: Draw) -> tuple[Tensor, Tensor]:
        """Return mixed pictures and the share (B, 1) that each kept."""
        raise NotImplementedError


@dataclass(frozen=True, kw_only=True)
class Mixup(Mix):
    """Average two pictures."""

    def mixed(self, x: Tensor, other: Tensor, share: Tensor, draw: Draw) -> tuple[Tensor, Tensor]:
        """Return averages."""
        return torch.lerp(other, x, share[:, :, None, None]), share


@dataclass(frozen=True, kw_only=True)
class Cutmix(Mix):
    """Paste a box of one picture into another; its centre is a random pixel, what lies outside is cut off."""

    def mixed(self, x: Tensor, other: Tensor, share: Tensor, draw: Draw) -> tuple[Tensor, Tensor]:
        """Return pictures with a box from another one."""
        rows, columns = (self.side(length, share, draw) for length in x.shape[-2:])  # (B, H), (B, W)
        box = rows[:, None, :, None] & columns[:, None, None, :]  # (B, 1, H, W)
        return torch.where(box, other, x), 1 - box.flatten(1).float().mean(1, keepdim=True)

    def side(self, length: int, share: Tensor, draw: Draw) -> Tensor:
        """Tell for each position (B, length) whether it lies in the box."""
        side = (length * (1 - share).sqrt()).round()
        first = (draw(1) * length).floor() - (side / 2).floor()
        position = torch.arange(length, device=share.device)
        return (position >= first) & (position < first + side)


def beta(uniform: Tensor, alpha: float) -> Tensor:
    """Turn uniform numbers into Beta(alpha, alpha) ones by its quantile function, linear between many points."""
    if alpha == 1:
        return uniform
    table = quantiles(alpha).to(uniform.dtype).to(uniform.device)
    place = uniform * POINTS
    return torch.lerp(table[place.long()], table[place.long() + 1], place.frac())


@lru_cache
def quantiles(alpha: float) -> Tensor:
    """Return the quantiles 0/POINTS, 1/POINTS, ..., 1; alpha 0 leaves every picture as it is."""
    from scipy.special import betaincinv

    levels = torch.linspace(0, 1, POINTS + 1, dtype=torch.float64)
    return torch.from_numpy(betaincinv(alpha, alpha, levels.numpy())) if alpha else torch.ones_like(levels)
