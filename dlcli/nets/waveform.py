"""Convolutional nets for raw waveforms (Dai, Dai, Qu, Li & Das 2017, arXiv:1610.00087): M3, M5, M11 and M18.

    convolution 80, stride 4 - pool 4 - stages of n (convolution 3 - norm - ReLU), three with pool 4 - mean - linear

The first convolution is a learned filter bank: 80 samples are 10 ms at 8 kHz. x (B, C, T) in [-1, 1]; the global mean
takes recordings of any length from 64 (M3) or 1,024 samples on. 220,682, 558,090, 1,784,202 and 3,679,882 weights for
ten classes.
"""

from itertools import pairwise

from torch import Tensor, nn

from dlcli.errors import ConfigError
from dlcli.nets.layers import scaled
from dlcli.nets.pooling import whole

FIRST, STRIDE, POOL = 80, 4, 4  # samples
POOLS = 4

STAGES: dict[int, tuple[tuple[int, ...], ...]] = {  # maps of each convolution, by depth and stage
    3: ((256,), (256,)),
    5: ((128,), (128,), (256,), (512,)),
    11: ((64,), (64,) * 2, (128,) * 2, (256,) * 3, (512,) * 2),
    18: ((64,), (64,) * 4, (128,) * 4, (256,) * 4, (512,) * 4),
}


def unit(fan_in: int, fan_out: int, kernel: int, stride: int = 1) -> list[nn.Module]:
    """Return convolution, batch norm, ReLU; the norm's shift replaces the convolution's bias."""
    convolution = nn.Conv1d(fan_in, fan_out, kernel, stride, (kernel - 1) // 2, bias=False)
    return [convolution, nn.BatchNorm1d(fan_out), nn.ReLU(inplace=True)]


class Waveform(nn.Module):
    """The net of `depth` 3, 5, 11 or 18, its widths times `scale`."""

    def __init__(self, *, channels: int, length: int, classes: int, depth: int = 5, scale: float = 1.0):
        super().__init__()
        if depth not in STAGES:
            raise ConfigError(f"depth={depth}: choose one of {', '.join(map(str, STAGES))}")
        stages = STAGES[depth]
        least = STRIDE * POOL ** min(POOLS, len(stages))
        if length < least:
            raise ConfigError(f"recordings of {length} numbers are too short: depth={depth} needs at least {least}")
        widths = [[scaled(width, scale) for width in stage] for stage in stages]
        layers = [*unit(channels, widths[0][0], FIRST, STRIDE), nn.MaxPool1d(POOL)]
        for number, ((*_, before), stage) in enumerate(pairwise(widths), 2):
            for pair in pairwise([before, *stage]):
                layers += unit(*pair, 3)
            layers += [nn.MaxPool1d(POOL)] if number <= POOLS else []
        self.layers = nn.Sequential(*layers, whole("mean", dims=1))
        self.head = nn.Linear(widths[-1][-1], classes)

    def forward(self, x: Tensor) -> Tensor:  # (B, C, T) -> (B, classes)
        return self.head(self.layers(x))
