"""Colour jitter: the same scene in another light and by another camera, B pictures with C channels each.

    brightness   x <- b x
    contrast     x <- c x + (1 - c) m,        m the mean grey of the picture
    saturation   x <- s x + (1 - s) grey(x),  grey = 0.299 red + 0.587 green + 0.114 blue (ITU-R BT.601)
    hue          x <- x with its chroma turned about the grey axis by a share h of the circle (in YIQ)

Each is affine in the colour, so that all four are one matrix and one offset for each picture. As in Krizhevsky et al.
2012 and Howard 2013 (arXiv:1312.5402), with factors drawn uniformly from [1 - v, 1 + v] and the hue from [-v, v].
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from dlcli.data.change import Augmentation, require
from dlcli.data.randomness import Draw

GREY = (0.299, 0.587, 0.114)
CHROMA = ((0.595716, -0.274453, -0.321263), (0.211456, -0.522591, 0.311135))  # red, green, blue to I and Q


@dataclass(frozen=True, kw_only=True)
class Jitter(Augmentation):
    """Change brightness, contrast, saturation and hue, in this order; a grey picture has only the first two."""

    brightness: float = 0.2
    contrast: float = 0.2
    saturation: float = 0.2
    hue: float = 0.05

    def __post_init__(self) -> None:
        for name in ("brightness", "contrast", "saturation"):
            require(name, getattr(self, name), below=1.0)
        require("hue", self.hue, below=0.5)

    def change(self, x: Tensor, draw: Draw) -> Tensor:
        """Return pictures (B, C, H, W) in other colours."""
        b, c, s, turn = (2 * draw(4) - 1).unbind(1)  # each (B,), in [-1, 1)
        b, c, s = 1 + b * self.brightness, 1 + c * self.contrast, 1 + s * self.saturation
        pixels = x.flatten(2)  # (B, C, HW)
        mean = b * grey(pixels).mean((1, 2))  # (B,), of the brighter picture
        if x.shape[1] != 3:
            return (x * (b * c)[:, None, None, None] + ((1 - c) * mean)[:, None, None, None]).clamp_(0, 1)
        colours = self.colours(s, turn * self.hue * 2 * math.pi)  # (B, 3, 3); grey stays as it is
        offset = ((1 - c) * mean)[:, None, None]  # (B, 1, 1)
        return torch.baddbmm(offset, (b * c)[:, None, None] * colours, pixels).view_as(x).clamp_(0, 1)

    def colours(self, saturation: Tensor, angle: Tensor) -> Tensor:
        """Return the matrices (B, 3, 3) of saturation and hue: the chroma is scaled and turned, the luma stays."""
        to_yiq = torch.tensor([GREY, *CHROMA])
        back = to_yiq.inverse().to(angle.device)
        cos, sin = saturation * angle.cos(), saturation * angle.sin()
        one, zero = torch.ones_like(cos), torch.zeros_like(cos)
        turned = torch.stack([one, zero, zero, zero, cos, -sin, zero, sin, cos], 1).view(-1, 3, 3)
        return back @ turned @ to_yiq.to(angle.device)


def grey(pixels: Tensor) -> Tensor:
    """Return how bright pixels (B, C, ...) look, (B, 1, ...)."""
    if pixels.shape[1] != 3:
        return pixels.mean(1, keepdim=True)
    weights = pixels.new_tensor(GREY).view(1, 3, *[1] * (pixels.ndim - 2))
    return (pixels * weights).sum(1, keepdim=True)
