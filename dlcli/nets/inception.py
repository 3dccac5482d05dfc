"""Inception-v3 as the Frechet inception distance uses it (Szegedy et al. 2016, arXiv:1512.00567; Heusel et al. 2017,
arXiv:1706.08500): the net of TensorFlow's graph of 2015-12-05, up to the average over the last maps.

Its names are those of the port of these weights to PyTorch (pytorch-fid), in which three things differ from the paper:
averages leave padding out, and the last block takes the largest value in place of the average.

A unit is a convolution without bias, batch norm and ReLU; a block lays the maps of its routes side by side. With
299 x 299 pixels: 35 x 35 places in the blocks 5, 17 x 17 in 6, 8 x 8 in 7. 21,785,568 weights.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

SIDE = 299  # pixels
Step = tuple[str, int, Any]  # name, maps, side of the kernel or (height, width)


class Unit(nn.Module):
    """Convolve, normalize, cut at zero; `padded` keeps height and width where the stride is 1."""

    def __init__(self, inputs: int, maps: int, kernel: Any, *, stride: int = 1, padded: bool = True):
        super().__init__()
        high, wide = kernel if isinstance(kernel, tuple) else (kernel, kernel)
        padding = (high // 2, wide // 2) if padded else (0, 0)
        self.conv = nn.Conv2d(inputs, maps, (high, wide), stride=stride, padding=padding, bias=False)
        self.bn = nn.BatchNorm2d(maps, eps=0.001)

    def forward(self, x: Tensor) -> Tensor:  # (B, inputs, H, W) -> (B, maps, H', W')
        return self.bn(self.conv(x)).relu_()


class Mixed(nn.Module):
    """Lay routes side by side, the pooled one last; a route that ends in a list forks there.

    pool=average or largest is followed by `pooled` maps; pool=halve leaves the maps as they are, halves height and
    width, and the last unit of each route does likewise.
    """

    def __init__(self, inputs: int, *routes: list[Any], pool: str = "average", pooled: int = 192):
        super().__init__()
        self.pool, self.routes = pool, [[self._names(step) for step in route] for route in routes]
        for route in routes:
            width = inputs
            for step in route:
                halved: dict[str, Any] = {"stride": 2, "padded": False} if pool == "halve" and step is route[-1] else {}
                for name, maps, kernel in step if isinstance(step, list) else [step]:
                    setattr(self, name, Unit(width, maps, kernel, **halved))
                width = step[0][1] if isinstance(step, list) else step[1]
        if pool != "halve":
            self.branch_pool = Unit(inputs, pooled, 1)

    @staticmethod
    def _names(step: Step | list[Step]) -> list[str]:
        return [name for name, _, _ in step] if isinstance(step, list) else [step[0]]

    def forward(self, x: Tensor) -> Tensor:  # (B, inputs, H, W) -> (B, maps of all routes, H', W')
        found = []
        for route in self.routes:
            way = x
            for names in route:
                way = torch.cat([getattr(self, name)(way) for name in names], 1)
            found.append(way)
        return torch.cat([*found, self._pooled(x)], 1)

    def _pooled(self, x: Tensor) -> Tensor:
        if self.pool == "halve":
            return F.max_pool2d(x, 3, 2)
        average = self.pool == "average"
        near = F.avg_pool2d(x, 3, 1, 1, count_include_pad=False) if average else F.max_pool2d(x, 3, 1, 1)
        return self.branch_pool(near)


def thirds(inputs: int, pooled: int) -> Mixed:
    """Return a block of 35 x 35 places."""
    dbl = [("branch3x3dbl_1", 64, 1), ("branch3x3dbl_2", 96, 3), ("branch3x3dbl_3", 96, 3)]
    return Mixed(
        inputs, [("branch1x1", 64, 1)], [("branch5x5_1", 48, 1), ("branch5x5_2", 64, 5)], dbl, pooled=pooled
    )  # fmt: skip


def sevenths(width: int) -> Mixed:
    """Return a block of 17 x 17 places, with kernels of 7 x 7 in two strokes."""
    across, along = (1, 7), (7, 1)
    once = [("branch7x7_1", width, 1), ("branch7x7_2", width, across), ("branch7x7_3", 192, along)]
    strokes = [(width, 1), (width, along), (width, across), (width, along), (192, across)]
    twice = [(f"branch7x7dbl_{number}", *stroke) for number, stroke in enumerate(strokes, 1)]
    return Mixed(768, [("branch1x1", 192, 1)], once, twice)


def forked(inputs: int, pool: str) -> Mixed:
    """Return a block of 8 x 8 places, two of whose routes end in a fork."""
    once = [("branch3x3_1", 384, 1), [("branch3x3_2a", 384, (1, 3)), ("branch3x3_2b", 384, (3, 1))]]
    fork = [("branch3x3dbl_3a", 384, (1, 3)), ("branch3x3dbl_3b", 384, (3, 1))]
    twice = [("branch3x3dbl_1", 448, 1), ("branch3x3dbl_2", 384, 3), fork]
    return Mixed(inputs, [("branch1x1", 320, 1)], once, twice, pool=pool)


class Inception(nn.Module):
    """Turn pictures into the 2,048 features of the last average (`pool_3`)."""

    def __init__(self) -> None:
        super().__init__()
        self.Conv2d_1a_3x3 = Unit(3, 32, 3, stride=2, padded=False)
        self.Conv2d_2a_3x3 = Unit(32, 32, 3, padded=False)
        self.Conv2d_2b_3x3 = Unit(32, 64, 3)
        self.Conv2d_3b_1x1 = Unit(64, 80, 1)
        self.Conv2d_4a_3x3 = Unit(80, 192, 3, padded=False)
        self.Mixed_5b, self.Mixed_5c, self.Mixed_5d = thirds(192, 32), thirds(256, 64), thirds(288, 64)
        dbl = [("branch3x3dbl_1", 64, 1), ("branch3x3dbl_2", 96, 3), ("branch3x3dbl_3", 96, 3)]
        self.Mixed_6a = Mixed(288, [("branch3x3", 384, 3)], dbl, pool="halve")
        self.Mixed_6b, self.Mixed_6c, self.Mixed_6d, self.Mixed_6e = map(sevenths, (128, 160, 160, 192))
        strokes = [("branch7x7x3_1", 192, 1), ("branch7x7x3_2", 192, (1, 7)), ("branch7x7x3_3", 192, (7, 1))]
        last = [*strokes, ("branch7x7x3_4", 192, 3)]
        self.Mixed_7a = Mixed(768, [("branch3x3_1", 192, 1), ("branch3x3_2", 320, 3)], last, pool="halve")
        self.Mixed_7b, self.Mixed_7c = forked(1280, "average"), forked(2048, "largest")

    def forward(self, x: Tensor) -> Tensor:
        """Return features (B, 2048) of pictures (B, 1 or 3, H, W) in [0, 1], of any size."""
        x = scaled(x.expand(-1, 3, -1, -1), SIDE)
        x = self.Conv2d_2b_3x3(self.Conv2d_2a_3x3(self.Conv2d_1a_3x3(x)))
        x = self.Conv2d_4a_3x3(self.Conv2d_3b_1x1(F.max_pool2d(x, 3, 2)))
        x = F.max_pool2d(x, 3, 2)
        for name, block in self.named_children():
            x = block(x) if name.startswith("Mixed") else x
        return x.mean((2, 3))


def scaled(x: Tensor, side: int) -> Tensor:
    """Return pictures as TensorFlow's graph took them: bytes, scaled bilinearly, then (byte - 128) / 128.

    Output pixel i lies at i * size / side of the picture, from its edge and not from the middle of its first pixel, as
    `tf.image.resize_bilinear` did. (B, C, H, W) -> (B, C, side, side)
    """
    rows, columns = (lattice(length, side).to(x) for length in x.shape[-2:])
    return (rows @ (255 * x).round() @ columns.T - 128) / 128


def lattice(length: int, side: int) -> Tensor:
    """Return the weights of `length` pixels in each of `side` new ones, (side, length)."""
    place = torch.arange(side) * (length / side)
    low = place.floor().long()
    high, share = (low + 1).clamp(max=length - 1), (place - low)[:, None]
    return F.one_hot(low, length) * (1 - share) + F.one_hot(high, length) * share
