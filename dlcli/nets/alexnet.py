"""AlexNet (Krizhevsky, Sutskever & Hinton 2012, "ImageNet Classification with Deep Convolutional Neural Networks").

imagenet  x (B, 3, 224, 224) -> 96 maps 55x55 -> 256 maps 27x27 -> 384 -> 384 -> 256 maps 13x13 -> 6x6
          -> 4096 -> 4096 -> classes: 60,965,224 weights. Convolutions 2, 4 and 5 run in two groups, as on the
          paper's two cards; local response norm after the first two; dropout before both hidden layers.
small     x (B, 3, 32, 32) -> 64 maps 8x8 -> 192 maps 4x4 -> 384 -> 256 -> 256 maps 2x2 -> 1x1 -> classes:
          2,472,266 weights, a form that is usual for CIFAR-10.
"""

from torch import Tensor, nn

from dlcli.nets.convolutions import unit
from dlcli.nets.layers import Picture, choose, scaled


class LocalResponse(nn.Module):
    """Divide by the activity of the `size` neighbouring maps: x_c / (k + alpha sum_c' x_c'^2)^beta."""

    def __init__(self, *, size: int = 5, alpha: float = 1e-4, beta: float = 0.75, k: float = 2.0):
        super().__init__()
        self.size, self.alpha, self.beta, self.k = size, alpha, beta, k

    def forward(self, x: Tensor) -> Tensor:  # (B, C, H, W) -> (B, C, H, W)
        half = self.size // 2
        squares = nn.functional.pad(x * x, (0, 0, 0, 0, half, half))
        activity = squares[:, : x.shape[1]]
        for shift in range(1, self.size):
            activity = activity + squares[:, shift : shift + x.shape[1]]
        return x / (self.k + self.alpha * activity) ** self.beta


def grouped(fan_in: int, fan_out: int, kernel: int, groups: int) -> list[nn.Module]:
    """Return a convolution that keeps the size, in groups, and a ReLU."""
    return [nn.Conv2d(fan_in, fan_out, kernel, padding=kernel // 2, groups=groups), nn.ReLU(inplace=True)]


def imagenet(channels: int, classes: int, scale: float, dropout: float) -> nn.Sequential:
    """Return the net of the paper; any larger picture is pooled to 6x6 as well."""
    a, b, c, hidden = (scaled(width, scale) for width in (96, 256, 384, 4096))
    return nn.Sequential(
        *unit(channels, a, 11, stride=4, padding=2, normal="none"), LocalResponse(), nn.MaxPool2d(3, 2),
        *grouped(a, b, 5, 2), LocalResponse(), nn.MaxPool2d(3, 2),
        *grouped(b, c, 3, 1), *grouped(c, c, 3, 2), *grouped(c, b, 3, 2), nn.MaxPool2d(3, 2),
        nn.AdaptiveAvgPool2d(6), nn.Flatten(),
        nn.Dropout(dropout), nn.Linear(36 * b, hidden), nn.ReLU(inplace=True),
        nn.Dropout(dropout), nn.Linear(hidden, hidden), nn.ReLU(inplace=True),
        nn.Linear(hidden, classes),
    )  # fmt: skip


def small(channels: int, classes: int, scale: float, dropout: float) -> nn.Sequential:
    """Return the form for pictures of some 32 pixels."""
    a, b, c, d = (scaled(width, scale) for width in (64, 192, 384, 256))
    return nn.Sequential(
        *unit(channels, a, 11, stride=4, padding=5, normal="none"), nn.MaxPool2d(2),
        *grouped(a, b, 5, 1), nn.MaxPool2d(2),
        *grouped(b, c, 3, 1), *grouped(c, d, 3, 1), *grouped(d, d, 3, 1),
        nn.AdaptiveMaxPool2d(1), nn.Flatten(), nn.Dropout(dropout), nn.Linear(d, classes),
    )  # fmt: skip


FORMS = {"imagenet": (imagenet, 63), "small": (small, 13)}  # and the least size of a picture


class AlexNet(nn.Module):
    """Five convolutions, the first with large steps, and a classifier."""

    def __init__(
        self, *, picture: Picture, classes: int, form: str = "imagenet", scale: float = 1.0, dropout: float = 0.5
    ):
        super().__init__()
        make, least = choose("form", form, FORMS)
        picture.need(least, f"AlexNet with form={form}")
        self.picture = picture
        self.layers = make(picture.channels, classes, scale, dropout)

    def forward(self, x: Tensor) -> Tensor:  # (B, C, H, W) -> (B, classes)
        return self.layers(self.picture(x))
