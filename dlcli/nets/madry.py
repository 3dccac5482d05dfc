"""The net for robust MNIST (Madry, Makelov, Schmidt, Tsipras & Vladu 2018, arXiv:1706.06083).

    x (B, C, H, W) -> 32 maps 5x5 -> pool 2x2 -> 64 maps 5x5 -> pool 2x2 -> 1024 -> classes, padded, with ReLU

3,274,634 weights for 28x28 pixels and ten classes. The ReLU stands behind the pooling, where it has a quarter of the
numbers to read and gives the same bits. There is no batch norm, so that no example depends on its neighbours. Smaller
nets fit clean digits as well, but not the worst case: there they end with one answer to all.
"""

from collections.abc import Sequence

from torch import Tensor, nn

from dlcli.errors import ConfigError
from dlcli.nets.layers import Picture


class MadryCNN(nn.Module):
    """Two 5x5 convolutions with max pooling, one hidden layer."""

    def __init__(
        self,
        *,
        picture: Picture,
        classes: int,
        widths: Sequence[int] = (32, 64),
        hidden: int = 1024,
        dropout: float = 0.0,
    ):
        super().__init__()
        picture.need(4, "two poolings of 2x2")
        if len(widths) != 2 or min(*widths, hidden) < 1:
            raise ConfigError(f"widths={list(widths)} hidden={hidden}: two widths and a hidden layer, each at least 1")
        first, second = widths
        self.picture = picture
        self.layers = nn.Sequential(
            nn.Conv2d(picture.channels, first, 5, padding=2), nn.MaxPool2d(2), nn.ReLU(),
            nn.Conv2d(first, second, 5, padding=2), nn.MaxPool2d(2), nn.ReLU(),
            nn.Flatten(),
            nn.Linear(second * (picture.height // 4) * (picture.width // 4), hidden), nn.ReLU(),
            nn.Dropout(dropout),
            nn.Linear(hidden, classes),
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:  # (B, C, H, W) -> (B, classes)
        return self.layers(self.picture(x))
