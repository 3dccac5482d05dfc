"""RandAugment: so many operations for each picture, drawn from a fixed list, all of one strength.

Cubuk, Zoph, Shlens, Le, "RandAugment", 2019, arXiv:1909.13719. At strength m = magnitude / 30 the fourteen operations
of the paper do, each with a random sign where it has one:

    identity; autocontrast and equalize (per channel); rotate by 30 m degrees
    solarize above 1 - m; posterize to 8 - 4 m bits; colour, contrast, brightness, sharpness by 1 +- 0.9 m
    shear by 0.3 m and translate by 0.45 m of the side, across and along

x (B, C, H, W) in [0, 1]; amounts (B,) in [-1, 1]. What enters a picture from outside is black.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from dlcli.batch import Masks
from dlcli.data.change import Augmentation, require, sampled
from dlcli.data.colour import grey
from dlcli.data.randomness import Draw
from dlcli.errors import ConfigError

MOST = 30  # the magnitude at which every operation is strongest


@dataclass(frozen=True, kw_only=True)
class RandAugment(Augmentation):
    """Apply `count` operations in turn to each picture."""

    count: int = 2
    magnitude: float = 10.0

    def __post_init__(self) -> None:
        require("count", self.count)
        require("magnitude", self.magnitude, below=MOST + 1e-9)

    def __call__(self, batch: Any, draw: Draw) -> Any:
        """Return the batch with changed pictures; raise ConfigError for masks, which would not follow."""
        if isinstance(batch, Masks):
            raise ConfigError("augment=randaugment moves pictures but not their masks: choose another augment")
        return super().__call__(batch, draw)

    def change(self, x: Tensor, draw: Draw) -> Tensor:
        """Return changed pictures (B, C, H, W)."""
        for _ in range(self.count):
            chosen = (draw(1) * len(OPERATIONS)).long().flatten()
            amount = torch.where(draw(1) < 0.5, -1.0, 1.0).flatten() * (self.magnitude / MOST)
            changed = x.clone()
            for number, operation in enumerate(OPERATIONS.values()):
                rows = (chosen == number).nonzero().flatten()
                if len(rows):
                    changed[rows] = operation(x[rows], amount[rows])
            x = changed
        return x


def affine(x: Tensor, matrix: tuple[Tensor | float, ...], right: Tensor | float, down: Tensor | float) -> Tensor:
    """Fetch each pixel at (column, row) from the centre from the place matrix @ (column, row) - (right, down)."""
    height, width = x.shape[-2:]
    across = torch.arange(width, device=x.device) - (width - 1) / 2  # (W,)
    along = torch.arange(height, device=x.device)[:, None] - (height - 1) / 2  # (H, 1)
    a, b, c, d = (wide(value) for value in matrix)
    column = a * across + b * along - wide(right) + (width - 1) / 2
    row = c * across + d * along - wide(down) + (height - 1) / 2
    shape = (len(x), height, width)
    return sampled(row.expand(shape), column.expand(shape), mirrored=False)(x, "bilinear")


def wide(value: Tensor | float) -> Any:
    """Return numbers (B,) as (B, 1, 1), so that they meet pixels."""
    return value[:, None, None] if isinstance(value, Tensor) else value


def rotate(x: Tensor, amount: Tensor) -> Tensor:
    """Turn by up to 30 degrees."""
    angle = amount * math.radians(30)
    return affine(x, (angle.cos(), -angle.sin(), angle.sin(), angle.cos()), 0.0, 0.0)


def blend(x: Tensor, other: Tensor, amount: Tensor) -> Tensor:
    """Move towards another picture, or by as much away from it; amount -1 leaves a tenth of the distance."""
    return torch.lerp(other, x, (1 + 0.9 * amount)[:, None, None, None]).clamp_(0, 1)


def smooth(x: Tensor) -> Tensor:
    """Average each pixel, counted five times, with its eight neighbours; the border stays."""
    kernel = x.new_ones(3, 3)
    kernel[1, 1] = 5
    channels, changed = x.shape[1], x.clone()
    inner = F.conv2d(x, (kernel / 13).expand(channels, 1, 3, 3), groups=channels)
    changed[:, :, 1:-1, 1:-1] = inner
    return changed


def autocontrast(x: Tensor, amount: Tensor) -> Tensor:
    """Stretch each channel to the whole range; a channel of one value stays."""
    low, high = x.amin((2, 3), keepdim=True), x.amax((2, 3), keepdim=True)
    return torch.where(high > low, (x - low) / (high - low).clamp(min=1e-6), x)


def equalize(x: Tensor, amount: Tensor) -> Tensor:
    """Spread the levels of each channel so that all are about equally frequent (of 256 levels)."""
    level = (x * 255).round().long().flatten(2)  # (B, C, HW)
    counts = torch.zeros(*level.shape[:2], 256, device=x.device).scatter_add_(2, level, torch.ones_like(x.flatten(2)))
    below = counts.cumsum(2)
    first = counts.gather(2, level.amin(2, keepdim=True))  # pixels of the darkest level, which becomes 0
    total = level.shape[2]
    table = ((below - first) / (total - first).clamp(min=1)).clamp_(0, 1)
    return torch.where(first == total, x.flatten(2), table.gather(2, level)).view_as(x)


def posterize(x: Tensor, amount: Tensor) -> Tensor:
    """Keep the upper bits of each pixel."""
    step = 2.0 ** (4 * amount.abs()).round()[:, None, None, None]
    return ((x * 255).round() / step).floor() * step / 255


def solarize(x: Tensor, amount: Tensor) -> Tensor:
    """Invert the pixels above a threshold."""
    return torch.where(x >= 1 - amount.abs()[:, None, None, None], 1 - x, x)


OPERATIONS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "identity": lambda x, amount: x,
    "autocontrast": autocontrast,
    "equalize": equalize,
    "rotate": rotate,
    "solarize": solarize,
    "posterize": posterize,
    "colour": lambda x, amount: blend(x, grey(x).expand_as(x), amount),
    "contrast": lambda x, amount: blend(x, grey(x).mean((1, 2, 3), keepdim=True).expand_as(x), amount),
    "brightness": lambda x, amount: blend(x, torch.zeros_like(x), amount),
    "sharpness": lambda x, amount: blend(x, smooth(x), amount),
    "shear_across": lambda x, amount: affine(x, (1.0, 0.3 * amount, 0.0, 1.0), 0.0, 0.0),
    "shear_along": lambda x, amount: affine(x, (1.0, 0.0, 0.3 * amount, 1.0), 0.0, 0.0),
    "translate_across": lambda x, amount: affine(x, (1.0, 0.0, 0.0, 1.0), 0.45 * x.shape[-1] * amount, 0.0),
    "translate_along": lambda x, amount: affine(x, (1.0, 0.0, 0.0, 1.0), 0.0, 0.45 * x.shape[-2] * amount),
}
