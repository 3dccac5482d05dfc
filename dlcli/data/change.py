"""What an augmentation is: a function from a batch and its randomness to a batch.

Most change pictures x (B, C, H, W) in [0, 1] alone, to pictures of the same shape and range, and write `change`. Those
that move pixels write `plan` and take masks along. Those that mix pictures mix what they show.
"""

import math
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from dlcli.batch import Masks
from dlcli.data.randomness import Draw
from dlcli.errors import ConfigError


class Augmentation:
    """Change the pictures of a batch and nothing else."""

    def __call__(self, batch: Any, draw: Draw) -> Any:
        """Return the batch with changed pictures."""
        return batch._replace(x=self.change(batch.x, draw))

    def change(self, x: Tensor, draw: Draw) -> Tensor:
        """Return changed pictures (B, C, H, W)."""
        raise NotImplementedError


Move = Callable[[Tensor, str], Tensor]  # (B, K, H, W) planes, "bilinear" or "nearest" -> (B, K, H, W)


class Geometric(Augmentation):
    """Move the pixels of pictures, and of masks and weights with them.

    What enters a picture from outside is black; where there is a mask the picture is mirrored there instead, as a mask
    has nothing to say about what lies outside (Ronneberger et al. 2015, arXiv:1505.04597).
    """

    def __call__(self, batch: Any, draw: Draw) -> Any:
        """Return the batch with moved pictures, masks and weights."""
        if not isinstance(batch, Masks):
            return super().__call__(batch, draw)
        move = self.plan(batch.x, draw, mirrored=True)
        labels, weights = move(torch.stack([batch.y.to(batch.w.dtype), batch.w], 1), "nearest").unbind(1)
        return Masks(move(batch.x, "bilinear"), labels.round().to(batch.y.dtype), weights)

    def change(self, x: Tensor, draw: Draw) -> Tensor:
        """Return moved pictures (B, C, H, W)."""
        return self.plan(x, draw, mirrored=False)(x, "bilinear")

    def plan(self, x: Tensor, draw: Draw, mirrored: bool) -> Move:
        """Draw how each picture of a batch is moved, and return what moves it."""
        raise NotImplementedError


def sampled(row: Tensor, column: Tensor, mirrored: bool) -> Move:
    """Return what fetches each pixel from the place (row, column), both (B, H, W) in pixels."""
    height, width = row.shape[-2:]
    # grid_sample counts from -1 to 1 between the outer edges of the outer pixels
    grid = torch.stack([(2 * column + 1) / width - 1, (2 * row + 1) / height - 1], dim=-1)  # (B, H, W, 2)
    beyond = "reflection" if mirrored else "zeros"

    def move(planes: Tensor, mode: str) -> Tensor:
        """Interpolate pixels in [0, 1], or take the nearest of values of any range."""
        found = F.grid_sample(planes, grid.to(planes.dtype), mode=mode, padding_mode=beyond, align_corners=False)
        return found if mode == "nearest" else found.clamp_(0, 1)

    return move


def require(name: str, value: float, below: float = math.inf) -> None:
    """Raise ConfigError for an option outside [0, below)."""
    if not 0 <= value < below:
        limit = "" if below == math.inf else f" and below {below}"
        raise ConfigError(f"augment.{name}={value} is out of range: it must be at least 0{limit}")
