"""Augmentations that move pixels: elastic deformation, and flips that alternate.

B batch, H height, W width.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from dlcli.data.change import Geometric, Move, require, sampled
from dlcli.data.randomness import Draw, normal


@dataclass(frozen=True, kw_only=True)
class Elastic(Geometric):
    """Bend each picture: normal displacements of deviation `pixels` on a coarse grid, bicubic in between.

    Ronneberger, Fischer, Brox, "U-Net", 2015, arXiv:1505.04597, section 3.1 (3 x 3 grid, 10 pixels, 512 x 512).
    """

    pixels: float = 10.0
    grid: int = 3

    def __post_init__(self) -> None:
        require("pixels", self.pixels)
        require("grid - 2", self.grid - 2)

    def plan(self, x: Tensor, draw: Draw, mirrored: bool) -> Move:
        """Draw a displacement field for each picture."""
        height, width = x.shape[-2:]
        coarse = self.pixels * normal(draw, 2 * self.grid**2).view(-1, 2, self.grid, self.grid)  # (B, 2, grid, grid)
        field = F.interpolate(coarse, size=(height, width), mode="bicubic", align_corners=True)  # (B, 2, H, W)
        row = torch.arange(height, device=x.device)[:, None] + field[:, 0]  # (B, H, W)
        return sampled(row, torch.arange(width, device=x.device) + field[:, 1], mirrored)


@dataclass(frozen=True, kw_only=True)
class AlternatingFlip(Geometric):
    """Mirror each picture left to right in every other epoch; a random half begins mirrored.

    Two epochs in a row show both sides of every picture, where independent flips repeat a side half of the time.
    Jordan, "94% on CIFAR-10 in 3.29 seconds on a single GPU", 2024, arXiv:2404.00498, section 3.6.
    """

    def plan(self, x: Tensor, draw: Draw, mirrored: bool) -> Move:
        """Choose the pictures whose turn it is."""
        chosen = ((draw.still(1) < 0.5) ^ (draw.epoch % 2 == 1))[:, :, None, None]  # (B, 1, 1, 1)
        return lambda planes, mode: torch.where(chosen, planes.flip(-1), planes)
