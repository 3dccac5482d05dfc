"""Nets that turn pictures into other pictures of the same size, and critics of patches.

Translator (Johnson et al. 2016, arXiv:1603.08155; as in CycleGAN, Zhu et al. 2017, arXiv:1703.10593)
    7x7 convolution to `width` maps, `depth` 3x3 ones with stride 2 that double the maps, `blocks` residual blocks,
    `depth` transposed ones with stride 2 that halve the maps, 7x7 convolution, sigmoid; norm and ReLU between them.
Patches (Isola et al. 2017, arXiv:1611.07004)
    `depth` 4x4 convolutions with stride 2, one with stride 1, one to a single map of logits: each of them sees a patch
    of the picture only, 70 x 70 pixels at depth 3, 34 at 2, 16 at 1, so that style is judged, and not what is shown.

Published: width 64, depth 2 and 9 blocks (6 below 256 pixels) against width 64, depth 3; weights start as N(0, 0.02^2).
"""

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dlcli.errors import ConfigError
from dlcli.nets.layers import Picture, activation
from dlcli.nets.layers import norm as make_norm

WIDEST = 8  # times the width that maps grow to at most
STD = 0.02  # of the first weights


class Residual(nn.Module):
    """Two 3x3 convolutions beside a shortcut, without ReLU behind their sum."""

    def __init__(self, *, width: int, norm: str):
        super().__init__()
        layers = [
            layer for _ in range(2) for layer in (mirrored(width, width, 3), make_norm(norm, width, 2), nn.ReLU())
        ]
        self.layers = nn.Sequential(*layers[:-1])

    def forward(self, x: Tensor) -> Tensor:  # (B, C, H, W) -> (B, C, H, W)
        return x + self.layers(x)


class Translator(nn.Module):
    """Turn pictures into pictures in [0, 1] of the same shape."""

    def __init__(self, *, picture: Picture, width: int = 64, depth: int = 2, blocks: int = 9, norm: str = "instance"):
        super().__init__()
        if picture.height % 2**depth or picture.width % 2**depth:
            sides = f"{picture.height}x{picture.width}"
            raise ConfigError(
                f"depth={depth} halves pictures of {sides} so often that sides are lost; take a smaller depth"
            )
        widths = [width << level for level in range(depth + 1)]
        layers: list[nn.Module] = [mirrored(picture.channels, width, 7), make_norm(norm, width, 2), nn.ReLU()]
        for low, high in pairwise(widths):
            layers += [nn.Conv2d(low, high, 3, 2, 1), make_norm(norm, high, 2), nn.ReLU()]
        layers += [Residual(width=widths[-1], norm=norm) for _ in range(blocks)]
        for high, low in pairwise(widths[::-1]):
            layers += [nn.ConvTranspose2d(high, low, 3, 2, 1, 1), make_norm(norm, low, 2), nn.ReLU()]
        self.picture = picture
        self.layers = nn.Sequential(*layers, mirrored(width, picture.channels, 7), nn.Sigmoid())
        start(self)

    def forward(self, x: Tensor) -> Tensor:  # (B, C, H, W) -> (B, C, H, W)
        return self.layers(self.picture(x))


class Patches(nn.Module):
    """Tell of each patch whether it is real; `pictures` are judged together, as a picture and what it was made from."""

    def __init__(self, *, picture: Picture, pictures: int = 1, width: int = 64, depth: int = 3, norm: str = "instance"):
        super().__init__()
        picture.need(2 ** (depth + 1) + 2 ** (depth + 1) // 2, f"patches with depth={depth}")
        widths = [pictures * picture.channels, *(width * min(WIDEST, 2**level) for level in range(depth + 1))]
        layers: list[nn.Module] = []
        for place, (low, high) in enumerate(pairwise(widths)):
            layers.append(nn.Conv2d(low, high, 4, 2 if place < depth else 1, 1))
            layers += [make_norm(norm if place else "none", high, 2), activation("leaky_relu")]
        self.picture = picture
        self.layers = nn.Sequential(*layers, nn.Conv2d(widths[-1], 1, 4, 1, 1))
        start(self)

    def forward(self, *pictures: Tensor) -> Tensor:  # (B, C, H, W) each -> (B, 1, h, w)
        return self.layers(torch.cat([self.picture(x) for x in pictures], 1))


class Mirrored(nn.Conv2d):
    """A convolution that keeps the size of a picture, which goes on mirrored beyond its edge."""

    def forward(self, x: Tensor) -> Tensor:  # (B, C, H, W) -> (B, C', H, W)
        return super().forward(F.pad(x, [self.kernel_size[0] // 2] * 4, mode="reflect"))


def mirrored(fan_in: int, fan_out: int, kernel: int) -> nn.Module:
    """Return a convolution with mirrored edges."""
    return Mirrored(fan_in, fan_out, kernel)


@torch.no_grad()
def start(net: nn.Module) -> None:
    """Give the convolutions of a net their first weights."""
    for layer in net.modules():
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
            nn.init.normal_(layer.weight, std=STD)
            if layer.bias is not None:
                layer.bias.zero_()
