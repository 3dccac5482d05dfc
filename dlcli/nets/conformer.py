"""Conformer: attention for what is far apart, convolution for what is near (Gulati et al. 2020, arXiv:2005.08100).

    x + 1/2 perceptron(x),   x + attention(x),   x + convolution(x),   x + 1/2 perceptron(x),   norm(x)

Each part norms its input first. The convolution is: 1x1 with a gated linear unit, then over time for each channel
alone, batch norm, swish, 1x1. Positions are rotary in place of the paper's relative ones. Recordings (B, C, T) become
frames by a convolution of `window` samples, `stride` apart; of a spectrogram (B, C, bands, T) each column is a frame of
C * bands numbers. The mean over the frames is what the class is read from.

x (B, C, T) or (B, C, bands, T), frames (B, T', D), logits (B, classes).
"""

from collections.abc import Sequence

from torch import Tensor, nn

from dlcli.errors import ConfigError
from dlcli.nets.attention import MultiHead, perceptron
from dlcli.nets.layers import Normalize


class Convolution(nn.Module):
    """Mix each frame with its neighbours, channel by channel."""

    def __init__(self, *, width: int, kernel: int):
        super().__init__()
        if kernel % 2 == 0:
            raise ConfigError(f"kernel={kernel}: a frame has as many neighbours on either side; choose an odd number")
        self.layers = nn.Sequential(
            nn.Conv1d(width, 2 * width, 1),
            nn.GLU(dim=1),
            nn.Conv1d(width, width, kernel, padding=kernel // 2, groups=width),
            nn.BatchNorm1d(width),
            nn.SiLU(),
            nn.Conv1d(width, width, 1),
        )

    def forward(self, x: Tensor) -> Tensor:  # (B, T, D) -> (B, T, D)
        return self.layers(x.mT).mT


class ConformerBlock(nn.Module):
    """Think, attend, convolve, think."""

    def __init__(self, *, width: int, heads: int, kernel: int, dropout: float = 0.0):
        super().__init__()
        self.before, self.after = (perceptron(width, 4 * width, "silu") for _ in range(2))
        self.attention = MultiHead(width=width, heads=heads, dropout=dropout, positions="rotary")
        self.convolution = Convolution(width=width, kernel=kernel)
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(5))
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:  # (B, T, D) -> (B, T, D)
        parts = (self.before, self.attention, self.convolution, self.after)
        for part, norm, share in zip(parts, self.norms, (0.5, 1.0, 1.0, 0.5), strict=False):
            x = x + share * self.dropout(part(norm(x)))
        return self.norms[-1](x)


class Frames(nn.Module):
    """Cut recordings into frames of `width` features: overlapping windows, each seen by the same linear map.

    `inputs` numbers come at a time: the channels of a wave, or channels times bands of a spectrogram.
    """

    def __init__(
        self,
        *,
        inputs: int,
        width: int,
        window: int,
        stride: int,
        mean: Sequence[float] | None = None,
        std: Sequence[float] | None = None,
    ):
        super().__init__()
        self.normalize = Normalize(mean=mean, std=std)
        self.width, self.window = width, window
        self.map = nn.Conv1d(inputs, width, window, stride, window // 2)

    def forward(self, x: Tensor) -> Tensor:  # (B, C, T) or (B, C, bands, T) -> (B, T', D)
        x = self.normalize(x)
        x = x.flatten(1, 2) if x.dim() == 4 else x  # (B, C * bands, T)
        if x.shape[1] != self.map.in_channels:
            raise ConfigError(f"inputs={self.map.in_channels}, but {x.shape[1]} numbers come at a time; set it to that")
        return self.map(x).mT


class Conformer(nn.Module):
    """Blocks over the frames of a recording, and the mean over time."""

    def __init__(
        self, *, frames: Frames, classes: int, depth: int = 2, heads: int = 4, kernel: int = 15, dropout: float = 0.0
    ):
        super().__init__()
        self.frames = frames
        self.blocks = nn.Sequential(
            *[ConformerBlock(width=frames.width, heads=heads, kernel=kernel, dropout=dropout) for _ in range(depth)]
        )
        self.head = nn.Linear(frames.width, classes)

    def forward(self, x: Tensor) -> Tensor:  # (B, C, T) or (B, C, bands, T) -> (B, classes)
        return self.head(self.blocks(self.frames(x)).mean(1))
