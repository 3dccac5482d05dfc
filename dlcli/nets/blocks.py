"""A net of equal blocks whose parts are chosen by name: for trying one remedy at a time, on signals, pictures, volumes.

    block   convolution (full, causal, separable, pointwise, transposed) - norm - activation - pooling
    head    mean over all places - linear

x (B, C, T), (B, C, H, W) or (B, C, D, H, W) of any size. Without a pooling, a convolution of stride 2 halves the size
(Springenberg et al. 2015, arXiv:1412.6806). With dilation 2 it doubles from block to block (van den Oord et al.
2016, arXiv:1609.03499), so that the receptive field grows exponentially.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from torch import Tensor, nn

from dlcli.errors import ConfigError
from dlcli.nets.convolutions import convolution
from dlcli.nets.layers import Normalize, activation, norm
from dlcli.nets.pooling import pooling, whole


@dataclass(frozen=True, kw_only=True)
class Parts:
    """The parts of every block, by name."""

    dims: int = 2
    convolution: str = "full"
    kernel: int = 3
    stride: int = 1
    dilation: int = 1
    norm: str = "batch"
    activation: str = "relu"
    pooling: str = "max"

    def __post_init__(self) -> None:
        if self.dims not in (1, 2, 3) or min(self.kernel, self.stride, self.dilation) < 1:
            raise ConfigError(
                f"dims={self.dims} kernel={self.kernel} stride={self.stride} dilation={self.dilation}: "
                "dims must be 1, 2 or 3, the others at least 1"
            )

    def block(self, fan_in: int, fan_out: int, number: int) -> nn.Sequential:
        """Return block `number` of a net."""
        layer = convolution(
            self.convolution, fan_in, fan_out, dims=self.dims,
            kernel=self.kernel, stride=self.stride, dilation=self.dilation**number,
        )  # fmt: skip
        # a norm of one dimension is for tables too; only layer norm differs: here it spans channels and places
        normal = norm(self.norm, fan_out, max(self.dims, 2) if self.norm == "layer" else self.dims)
        return nn.Sequential(
            layer, normal, activation(self.activation, fan_out), pooling(self.pooling, fan_out, self.dims)
        )


class Blocks(nn.Module):
    """One block per entry of `widths` (its channels), and a linear layer on the mean of what they leave."""

    def __init__(
        self,
        *,
        channels: int,
        classes: int,
        parts: Parts,
        widths: Sequence[int] = (16, 32, 64),
        mean: Sequence[float] | None = None,
        std: Sequence[float] | None = None,
    ):
        super().__init__()
        self.normalize = Normalize(mean=mean, std=std)
        pairs = pairwise([channels, *widths])
        self.blocks = nn.Sequential(*[parts.block(*pair, number) for number, pair in enumerate(pairs)])
        self.head = nn.Sequential(whole("mean", parts.dims), nn.Linear(widths[-1] if widths else channels, classes))

    def forward(self, x: Tensor) -> Tensor:  # (B, C, ...) -> (B, classes)
        return self.head(self.blocks(self.normalize(x)))
