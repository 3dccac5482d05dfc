"""LeNet-5 as it was in 1998 (LeCun, Bottou, Bengio & Haffner), with learned subsampling and sparse connections.

    x (B, C, 32, 32) -> C1 6 maps 28x28 -> S2 14x14 -> C3 16 maps 10x10 -> S4 5x5 -> C5 120 -> F6 84 -> classes

S2, S4 scale and shift the sum of 2x2 places, two weights per map; each map of C3 sees three, four or all six maps of
S2, so that no two see the same; f(a) = 1.7159 tanh(2 a / 3). The layers up to F6 have 156 + 12 + 1,516 + 32 + 48,120 +
10,164 = 60,000 weights for one channel. The paper's output measures distances to drawn characters; here it is linear.
"""

from torch import Tensor, cat, nn

from dlcli.nets.layers import Picture
from dlcli.nets.pooling import Trainable

TABLE = (
    (0, 1, 2), (1, 2, 3), (2, 3, 4), (3, 4, 5), (0, 4, 5), (0, 1, 5),
    (0, 1, 2, 3), (1, 2, 3, 4), (2, 3, 4, 5), (0, 3, 4, 5), (0, 1, 4, 5), (0, 1, 2, 5),
    (0, 1, 3, 4), (1, 2, 4, 5), (0, 2, 3, 5),
    (0, 1, 2, 3, 4, 5),
)  # fmt: skip


class ScaledTanh(nn.Module):
    """Return 1.7159 tanh(2 a / 3), which is 1 at 1 and has its strongest curvature there."""

    def forward(self, x: Tensor) -> Tensor:
        return 1.7159 * (2 * x / 3).tanh()


class PartialConvolution(nn.Module):
    """Convolve 5x5, each output map with the input maps that the table gives it."""

    def __init__(self) -> None:
        super().__init__()
        self.maps = nn.ModuleList([nn.Conv2d(len(row), 1, 5) for row in TABLE])

    def forward(self, x: Tensor) -> Tensor:  # (B, 6, H, W) -> (B, 16, H - 4, W - 4)
        return cat([layer(x[:, row]) for layer, row in zip(self.maps, TABLE, strict=True)], 1)


class LeNet1998(nn.Module):
    """Seven layers with learned subsampling; smaller pictures are padded to 32x32, larger ones end in a mean."""

    def __init__(self, *, picture: Picture, classes: int):
        super().__init__()
        rows, columns = max(0, 32 - picture.height), max(0, 32 - picture.width)
        self.picture = picture
        self.layers = nn.Sequential(
            nn.ZeroPad2d((columns // 2, columns - columns // 2, rows // 2, rows - rows // 2)),
            nn.Conv2d(picture.channels, 6, 5), Trainable(channels=6, activation=ScaledTanh()),
            PartialConvolution(), Trainable(channels=16, activation=ScaledTanh()),
            nn.Conv2d(16, 120, 5), ScaledTanh(), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
            nn.Linear(120, 84), ScaledTanh(),
            nn.Linear(84, classes),
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:  # (B, C, H, W) -> (B, classes)
        return self.layers(self.picture(x))
