"""Xception (Chollet 2017, arXiv:1610.02357): inception at its extreme, one kernel for each map.

    separable  depthwise 3x3 (each map by itself), then pointwise 1x1 (each place by itself) - batch norm
    entry      convolutions 32, 64 - blocks of two separable convolutions to 128, 256, 728 maps, halved by pooling
    middle     depth times x + three (ReLU - separable 728)
    exit       block to 1024 maps - separable 1536, 2048 - mean over all places - linear

22,855,952 weights for a thousand classes at depth 8 (imagenet, 299x299). In the small form, which is ours, the first
convolution and the first block keep the size, so that 32x32 pixels end as 4x4 places.
"""

from itertools import pairwise

from torch import Tensor, nn

from dlcli.nets.convolutions import Separable
from dlcli.nets.layers import Picture, choose, scaled
from dlcli.nets.pooling import whole


def separable(fan_in: int, fan_out: int, *, before: bool) -> nn.Sequential:
    """Return a separable convolution with its norm, and a ReLU before or after it."""
    layers = [Separable(fan_in=fan_in, fan_out=fan_out, bias=False), nn.BatchNorm2d(fan_out)]
    return nn.Sequential(nn.ReLU(), *layers) if before else nn.Sequential(*layers, nn.ReLU(inplace=True))


def convolution(fan_in: int, fan_out: int, kernel: int, stride: int, padding: int) -> list[nn.Module]:
    """Return an ordinary convolution and its norm."""
    return [nn.Conv2d(fan_in, fan_out, kernel, stride, padding, bias=False), nn.BatchNorm2d(fan_out)]


class Block(nn.Module):
    """Add separable convolutions to their input; where the shape changes, a 1x1 convolution carries the input over."""

    def __init__(self, *, widths: tuple[int, ...], stride: int = 1, first: bool = False):
        super().__init__()
        layers: list[nn.Module] = [separable(*pair, before=True) for pair in pairwise(widths)]
        if first:  # its input has gone through a ReLU already
            layers[0] = nn.Sequential(*list(layers[0].children())[1:])
        self.branch = nn.Sequential(*layers, nn.MaxPool2d(3, stride, 1) if stride > 1 else nn.Identity())
        same = stride == 1 and widths[0] == widths[-1]
        self.skip = nn.Identity() if same else nn.Sequential(*convolution(widths[0], widths[-1], 1, stride, 0))

    def forward(self, x: Tensor) -> Tensor:  # (B, C, H, W) -> (B, C', H / stride, W / stride)
        return self.skip(x) + self.branch(x)


FORMS = {  # stride and padding of the first convolutions, strides of the four blocks, least size of a picture
    "imagenet": (2, 0, (2, 2, 2, 2), 71),
    "small": (1, 1, (1, 2, 2, 2), 8),
}


class Xception(nn.Module):
    """Separable convolutions in residual blocks; `depth` of them keep the shape."""

    def __init__(
        self,
        *,
        picture: Picture,
        classes: int,
        depth: int = 8,
        form: str = "imagenet",
        scale: float = 1.0,
        dropout: float = 0.5,
    ):
        super().__init__()
        stride, padding, strides, least = choose("form", form, FORMS)
        picture.need(least, f"Xception with form={form}")
        a, b, c, d, e, f, g, h = (scaled(width, scale) for width in (32, 64, 128, 256, 728, 1024, 1536, 2048))
        self.picture = picture
        self.features = nn.Sequential(
            *convolution(picture.channels, a, 3, stride, padding), nn.ReLU(inplace=True),
            *convolution(a, b, 3, 1, padding), nn.ReLU(inplace=True),
            Block(widths=(b, c, c), stride=strides[0], first=True),
            Block(widths=(c, d, d), stride=strides[1]),
            Block(widths=(d, e, e), stride=strides[2]),
            *[Block(widths=(e, e, e, e)) for _ in range(depth)],
            Block(widths=(e, e, f), stride=strides[3]),
            separable(f, g, before=False), separable(g, h, before=False),
        )  # fmt: skip
        self.head = nn.Sequential(whole("mean"), nn.Dropout(dropout), nn.Linear(h, classes))

    def forward(self, x: Tensor) -> Tensor:  # (B, C, H, W) -> (B, classes)
        return self.head(self.features(self.picture(x)))
