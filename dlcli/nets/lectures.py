"""Two small nets that the lectures count through.

LargeNet  x (B, 3, 32, 32) -> 5 maps 28x28 -> 14x14 -> 10 maps 10x10 -> 5x5 -> 32 -> 10: 10,002 weights; ReLU
Homework  x (B, 1, 16, 16) -> 8 maps 12x12 -> 6x6 -> 10 maps 4x4 -> 20 -> 3: 4,221 weights, 46,067 connections

Both are LeNets (LeCun et al. 1998) with other numbers: 5x5 and 3x3 kernels without padding, 2x2 max pooling.
"""

from torch import Tensor, nn

from dlcli.nets.layers import Picture


class LargeNet(nn.Module):
    """Two convolutions with pooling, one hidden layer."""

    def __init__(self, *, picture: Picture, classes: int):
        super().__init__()
        picture.need(16, "LargeNet")
        area = ((picture.height - 4) // 2 - 4) // 2 * (((picture.width - 4) // 2 - 4) // 2)
        self.picture = picture
        self.layers = nn.Sequential(
            nn.Conv2d(picture.channels, 5, 5), nn.ReLU(), nn.MaxPool2d(2),
            nn.Conv2d(5, 10, 5), nn.ReLU(), nn.MaxPool2d(2),
            nn.Flatten(), nn.Linear(10 * area, 32), nn.ReLU(), nn.Linear(32, classes),
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:  # (B, C, H, W) -> (B, classes)
        return self.layers(self.picture(x))


class HomeworkCNN(nn.Module):
    """Two convolutions with one pooling between them, one hidden layer."""

    def __init__(self, *, picture: Picture, classes: int):
        super().__init__()
        picture.need(10, "HomeworkCNN")
        area = ((picture.height - 4) // 2 - 2) * ((picture.width - 4) // 2 - 2)
        self.picture = picture
        self.layers = nn.Sequential(
            nn.Conv2d(picture.channels, 8, 5), nn.ReLU(), nn.MaxPool2d(2),
            nn.Conv2d(8, 10, 3), nn.ReLU(),
            nn.Flatten(), nn.Linear(10 * area, 20), nn.ReLU(), nn.Linear(20, classes),
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:  # (B, C, H, W) -> (B, classes)
        return self.layers(self.picture(x))
