"""U-Net (Ronneberger, Fischer & Brox 2015, arXiv:1505.04597): one class for every pixel.

    down   two 3x3 convolutions with ReLU, then 2x2 max pooling, while the maps double: width, 2 width, 4 width, ...
    up     2x2 transposed convolution, beside it the maps of the same level from the way down, two 3x3 convolutions
    head   1x1 convolution to the classes

x (B, C, H, W) -> logits (B, classes, H', W'). padding=valid is the paper's: 572x572 pixels give 388x388, and 31,030,658
weights at width 64, depth 4, one channel, two classes. padding=same keeps the size of any picture.
"""

from itertools import count, pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dlcli.nets.convolutions import unit
from dlcli.nets.layers import Picture, choose


def twice(fan_in: int, fan_out: int, padding: int, norm: str) -> nn.Sequential:
    """Return two 3x3 convolutions."""
    return nn.Sequential(
        unit(fan_in, fan_out, padding=padding, normal=norm), unit(fan_out, fan_out, padding=padding, normal=norm)
    )


def fit(x: Tensor, like: Tensor) -> Tensor:
    """Cut or fill x around its middle until it is as high and wide as another tensor."""
    rows, columns = like.shape[2] - x.shape[2], like.shape[3] - x.shape[3]
    return F.pad(x, (columns // 2, columns - columns // 2, rows // 2, rows - rows // 2))  # (B, C, H, W)


def after(size: int, depth: int) -> int:
    """Return the height that remains of `size` pixels without padding, below one if the net cannot take them."""
    for _ in range(depth):
        size = (size - 4) // 2
    size -= 4
    for _ in range(depth):
        size = size * 2 - 4 if size > 0 else 0
    return size


class UNet(nn.Module):
    """Go down `depth` times, and up again with the details of the way down."""

    def __init__(
        self,
        *,
        picture: Picture,
        classes: int,
        width: int = 64,
        depth: int = 4,
        padding: str = "same",
        norm: str = "none",
        dropout: float = 0.0,
    ):
        super().__init__()
        self.same = choose("padding", padding, {"same": True, "valid": False})
        least = 2**depth if self.same else next(size for size in count(1) if after(size, depth) > 0)
        picture.need(least, f"U-Net with depth={depth} padding={padding}")
        pad, widths = int(self.same), [width * 2**level for level in range(depth + 1)]
        pairs = list(pairwise(widths))
        self.picture = picture
        self.down = nn.ModuleList([twice(*pair, pad, norm) for pair in pairwise([picture.channels, *widths])])
        self.dropout = nn.Dropout(dropout)
        self.lift = nn.ModuleList([nn.ConvTranspose2d(high, low, 2, 2) for low, high in reversed(pairs)])
        self.up = nn.ModuleList([twice(high, low, pad, norm) for low, high in reversed(pairs)])
        self.head = nn.Conv2d(width, classes, 1)

    def forward(self, x: Tensor) -> Tensor:  # (B, C, H, W) -> (B, classes, H', W')
        x, details = self.picture(x), []
        for level, down in enumerate(self.down):
            x = down(F.max_pool2d(x, 2) if level else x)
            details.append(x)
        x = self.dropout(details.pop())
        for lift, up in zip(self.lift, self.up, strict=True):
            x = up(self.beside(details.pop(), lift(x)))
        return self.head(x)

    def beside(self, detail: Tensor, x: Tensor) -> Tensor:
        """Return the details of a level before the maps that came up to it; apart, they may go from memory."""
        x, detail = (fit(x, detail), detail) if self.same else (x, fit(detail, x))
        return torch.cat([detail, x], 1)
