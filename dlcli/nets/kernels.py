"""Kernels made by hand, as pictures were filtered before kernels were learned, and a linear classifier on top.

    blur        1/9 everywhere: the mean of 3x3 pixels
    vertical    Sobel's derivative along a row: it answers to vertical edges
    horizontal  the same along a column
    blob        Laplacian of 3x3 pixels: 8 times the middle minus its neighbours; it answers to spots

Sobel & Feldman 1968; Marr & Hildreth 1980. x (B, C, H, W) -> (B, C K, H, W) -> |.| -> mean of 4x4 pixels -> linear.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dlcli.errors import ConfigError
from dlcli.nets.layers import Picture, choose

KERNELS: dict[str, list[list[float]]] = {
    "blur": [[1 / 9] * 3] * 3,
    "vertical": [[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]],
    "horizontal": [[-1, -2, -1], [0, 0, 0], [1, 2, 1]],
    "blob": [[-1, -1, -1], [-1, 8, -1], [-1, -1, -1]],
}


class FixedKernels(nn.Module):
    """Convolve every channel with each of the kernels; nothing is learned."""

    weight: Tensor

    def __init__(self, *, channels: int, kernels: Sequence[str] = tuple(KERNELS)):
        super().__init__()
        if not kernels:
            raise ConfigError(f"kernels=[]: name at least one of {', '.join(KERNELS)}")
        bank = torch.tensor([choose("kernel", name, KERNELS) for name in kernels])  # (K, 3, 3)
        self.register_buffer("weight", bank[:, None].repeat(channels, 1, 1, 1))
        self.channels = channels

    def forward(self, x: Tensor) -> Tensor:  # (B, C, H, W) -> (B, C K, H, W)
        return F.conv2d(x, self.weight, padding=1, groups=self.channels)


class KernelNet(nn.Module):
    """Classify pictures linearly by how strongly their regions answer to fixed kernels."""

    def __init__(self, *, picture: Picture, classes: int, kernels: Sequence[str] = tuple(KERNELS)):
        super().__init__()
        picture.need(4, "KernelNet")
        self.picture = picture
        self.kernels = FixedKernels(channels=picture.channels, kernels=kernels)
        inputs = picture.channels * len(kernels) * (picture.height // 4) * (picture.width // 4)
        self.head = nn.Sequential(nn.AvgPool2d(4), nn.Flatten(), nn.Linear(inputs, classes))

    def forward(self, x: Tensor) -> Tensor:  # (B, C, H, W) -> (B, classes)
        return self.head(self.kernels(self.picture(x)).abs())
