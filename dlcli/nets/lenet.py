"""Two small classic convolutional nets for digits.

LeNet-5 (LeCun, Bottou, Bengio & Haffner 1998, "Gradient-Based Learning Applied to Document Recognition"), in the form
that is usual today: max pooling, every map of the second layer sees all of the first, softmax output.

    x (B, C, 32, 32) -> 6 maps 28x28 -> 14x14 -> 16 maps 10x10 -> 5x5 -> 120 -> 84 -> classes

61,706 weights for one channel and ten classes. The lectures' net keeps 28x28 by zero padding, and has one hidden
layer: 51,902 weights.
"""

from torch import Tensor, nn

from dlcli.errors import ConfigError
from dlcli.nets.layers import Picture


def after_two_stages(size: int, padding: int) -> int:
    """Return what 5x5 convolution, 2x2 pooling, 5x5 convolution, 2x2 pooling leave of a height or width."""
    left = ((size + 2 * padding - 4) // 2 - 4) // 2
    if left < 1:
        raise ConfigError(f"pictures of {size} pixels are too small: two 5x5 convolutions need at least 12")
    return left


class LeNet5(nn.Module):
    """Two convolutions with ReLU, two hidden layers with tanh; smaller pictures are padded to 32x32."""

    def __init__(
        self,
        *,
        picture: Picture,
        classes: int,
    ):
        super().__init__()
        missing_rows, missing_columns = max(0, 32 - picture.height), max(0, 32 - picture.width)
        height, width = picture.height + missing_rows, picture.width + missing_columns
        area = after_two_stages(height, 0) * after_two_stages(width, 0)
        left, top = missing_columns // 2, missing_rows // 2
        self.picture = picture
        self.layers = nn.Sequential(
            nn.ZeroPad2d((left, missing_columns - left, top, missing_rows - top)),
            nn.Conv2d(picture.channels, 6, 5), nn.ReLU(), nn.MaxPool2d(2),
            nn.Conv2d(6, 16, 5), nn.ReLU(), nn.MaxPool2d(2),
            nn.Flatten(),
            nn.Linear(16 * area, 120), nn.Tanh(),
            nn.Linear(120, 84), nn.Tanh(),
            nn.Linear(84, classes),
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:  # (B, C, H, W) -> (B, classes)
        return self.layers(self.picture(x))


class LectureCNN(nn.Module):
    """The lectures' net for MNIST: 28x28 -> 6 maps 28x28 -> 14x14 -> 16 maps 10x10 -> 5x5 -> 120 -> classes."""

    def __init__(
        self,
        *,
        picture: Picture,
        classes: int,
    ):
        super().__init__()
        area = after_two_stages(picture.height, 2) * after_two_stages(picture.width, 2)
        self.picture = picture
        self.layers = nn.Sequential(
            nn.Conv2d(picture.channels, 6, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2),
            nn.Conv2d(6, 16, 5), nn.ReLU(), nn.MaxPool2d(2),
            nn.Flatten(),
            nn.Linear(16 * area, 120), nn.ReLU(),
            nn.Linear(120, classes),
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:  # (B, C, H, W) -> (B, classes)
        return self.layers(self.picture(x))
