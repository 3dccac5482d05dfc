"""VGG (Simonyan & Zisserman 2015, arXiv:1409.1556): nothing but 3x3 convolutions, halved five times.

    stages    64, 128, 256, 512, 512 maps; 1 or 2, then up to 4 convolutions each; 2x2 max pooling after each stage
    imagenet  7x7 places -> 4096 -> 4096 -> classes, dropout; VGG-16 has 138,357,544 weights
    small     mean over all places -> classes; VGG-16 has 14,719,818 for ten classes

depth counts the layers of the imagenet form: convolutions and three linear ones. Two 3x3 convolutions see 5x5 pixels
with 18/25 of the weights, and bend twice.
"""

from torch import Tensor, nn

from dlcli.errors import ConfigError
from dlcli.nets.convolutions import unit
from dlcli.nets.layers import Picture, choose, scaled
from dlcli.nets.pooling import whole

WIDTHS = (64, 128, 256, 512, 512)
DEPTHS = {11: (1, 1, 2, 2, 2), 13: (2, 2, 2, 2, 2), 16: (2, 2, 3, 3, 3), 19: (2, 2, 4, 4, 4)}  # convolutions per stage
LEAST = {"imagenet": 32, "small": 8}


def imagenet(width: int, hidden: int, classes: int, dropout: float) -> nn.Sequential:
    """Return the classifier of the paper; pictures of other sizes are pooled to 7x7 places first."""
    return nn.Sequential(
        nn.AdaptiveAvgPool2d(7), nn.Flatten(),
        nn.Linear(49 * width, hidden), nn.ReLU(inplace=True), nn.Dropout(dropout),
        nn.Linear(hidden, hidden), nn.ReLU(inplace=True), nn.Dropout(dropout),
        nn.Linear(hidden, classes),
    )  # fmt: skip


def small(width: int, hidden: int, classes: int, dropout: float) -> nn.Sequential:
    """Return a linear classifier of the mean over all places."""
    return nn.Sequential(whole("mean"), nn.Dropout(dropout), nn.Linear(width, classes))


class VGG(nn.Module):
    """Five stages of 3x3 convolutions and a classifier; `norm` stands after each convolution."""

    def __init__(
        self,
        *,
        picture: Picture,
        classes: int,
        depth: int = 16,
        form: str = "imagenet",
        norm: str = "none",
        scale: float = 1.0,
        dropout: float = 0.5,
    ):
        super().__init__()
        if depth not in DEPTHS:
            raise ConfigError(f"depth={depth}: VGG comes with {', '.join(map(str, DEPTHS))} layers")
        head = choose("form", form, {"imagenet": imagenet, "small": small})
        picture.need(LEAST[form], f"VGG with form={form}")
        widths = [scaled(width, scale) for width in WIDTHS]
        layers: list[nn.Module] = []
        fan_in = picture.channels
        for width, count in zip(widths, DEPTHS[depth], strict=True):
            for _ in range(count):
                layers += unit(fan_in, width, normal=norm, bias=True)
                fan_in = width
            layers += [nn.MaxPool2d(2, ceil_mode=form == "small")]  # a last row of 28 -> 14 -> 7 -> 4 -> 2 -> 1
        self.picture = picture
        self.features = nn.Sequential(*layers)
        self.head = head(fan_in, scaled(4096, scale), classes, dropout)

    def forward(self, x: Tensor) -> Tensor:  # (B, C, H, W) -> (B, classes)
        return self.head(self.features(self.picture(x)))
