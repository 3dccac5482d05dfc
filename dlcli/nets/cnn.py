"""A small modern convolutional net: stages of 3x3 convolutions, each stage at half the resolution of the one before.

    stage_i: depth times (convolution 3x3 - batch norm - ReLU), then 2x2 max pooling
    head:    flatten - dropout - linear

After VGG (Simonyan & Zisserman 2015, arXiv:1409.1556) with batch norm (Ioffe & Szegedy 2015, arXiv:1502.03167).
"""

from collections.abc import Sequence
from itertools import pairwise

from torch import Tensor, nn

from dlcli.errors import ConfigError
from dlcli.nets.layers import Picture


def block(fan_in: int, fan_out: int) -> nn.Sequential:
    """Return convolution, batch norm, ReLU; the norm's shift replaces the convolution's bias."""
    return nn.Sequential(
        nn.Conv2d(fan_in, fan_out, 3, padding=1, bias=False), nn.BatchNorm2d(fan_out), nn.ReLU(inplace=True)
    )


def stage(fan_in: int, fan_out: int, depth: int) -> nn.Sequential:
    """Return `depth` blocks and a pooling that halves height and width."""
    sizes = [fan_in, *[fan_out] * depth]
    return nn.Sequential(*[block(*pair) for pair in pairwise(sizes)], nn.MaxPool2d(2))


class SmallCNN(nn.Module):
    """One stage per entry of `widths` (its channels), `depth` convolutions each."""

    def __init__(
        self,
        *,
        picture: Picture,
        classes: int,
        widths: Sequence[int] = (32, 64, 128),
        depth: int = 1,
        dropout: float = 0.0,
    ):
        super().__init__()
        rows, columns = picture.height >> len(widths), picture.width >> len(widths)
        if min(rows, columns) < 1:
            raise ConfigError(
                f"pictures of {picture.height}x{picture.width} cannot be halved {len(widths)} times: "
                f"widths={list(widths)} may have at most {min(picture.height, picture.width).bit_length() - 1} entries"
            )
        self.picture = picture
        self.stages = nn.Sequential(*[stage(*pair, depth) for pair in pairwise([picture.channels, *widths])])
        self.head = nn.Sequential(nn.Flatten(), nn.Dropout(dropout), nn.Linear(widths[-1] * rows * columns, classes))

    def forward(self, x: Tensor) -> Tensor:  # (B, C, H, W) -> (B, classes)
        return self.head(self.stages(self.picture(x)))
