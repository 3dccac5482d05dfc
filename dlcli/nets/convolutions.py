"""Convolutions in one, two and three dimensions, chosen by name.

    output size      o = floor((i + 2 p - d (k - 1) - 1) / s) + 1
    transposed       o = (i - 1) s - 2 p + d (k - 1) + q + 1

i input size, k kernel, s stride, p padding, d dilation, q output padding (it tells which of the s sizes that convolve
to the same size is meant; it adds no zeros). Here p is chosen so that stride 1 keeps the size and stride s divides it,
or multiplies it where transposed. Guide: Dumoulin & Visin 2016 (arXiv:1603.07285); dilation: Yu & Koltun 2016
(arXiv:1511.07122); causal: van den Oord et al. 2016 (arXiv:1609.03499); separable: Chollet 2017 (arXiv:1610.02357).
"""

from collections.abc import Callable

import torch.nn.functional as F
from torch import Tensor, nn

from dlcli.errors import ConfigError
from dlcli.nets.layers import choose, norm

CONVOLUTION = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}
TRANSPOSED = {1: nn.ConvTranspose1d, 2: nn.ConvTranspose2d, 3: nn.ConvTranspose3d}
EVEN = "{} convolution with kernel={} cannot keep the size; take an odd kernel"


class Causal(nn.Conv1d):
    """Convolve over time without looking ahead: output t sees inputs up to t, k at distances of `dilation`."""

    def forward(self, x: Tensor) -> Tensor:  # (B, C, T) -> (B, C', T / s)
        return super().forward(F.pad(x, (self.dilation[0] * (self.kernel_size[0] - 1), 0)))


def filling(kernel: int, stride: int, dilation: int) -> int:
    """Return the padding with which a stride divides the size; raise ConfigError if stride 1 would not keep it."""
    half, rest = divmod(dilation * (kernel - 1), 2)
    if rest and stride == 1:
        raise ConfigError(EVEN.format("a", kernel))
    return half


class Separable(nn.Sequential):
    """Convolve each map by itself (depthwise), then mix the maps at each place (pointwise)."""

    def __init__(
        self, *, fan_in: int, fan_out: int, kernel: int = 3, stride: int = 1, dilation: int = 1, dims: int = 2,
        bias: bool = True,
    ):  # fmt: skip
        kind, padding = CONVOLUTION[dims], filling(kernel, stride, dilation)
        super().__init__(
            kind(fan_in, fan_in, kernel, stride, padding, dilation, groups=fan_in, bias=False),
            kind(fan_in, fan_out, 1, bias=bias),
        )


def full(dims: int, fan_in: int, fan_out: int, kernel: int, stride: int, dilation: int) -> nn.Module:
    """Return an ordinary convolution: every output map sees every input map."""
    return CONVOLUTION[dims](fan_in, fan_out, kernel, stride, filling(kernel, stride, dilation), dilation)


def causal(dims: int, fan_in: int, fan_out: int, kernel: int, stride: int, dilation: int) -> nn.Module:
    """Return a causal convolution; raise ConfigError where there is no order in time."""
    if dims != 1:
        raise ConfigError(f"a causal convolution runs along time, dims=1; dims={dims} has no past: choose full")
    return Causal(fan_in, fan_out, kernel, stride, dilation=dilation)


def separable(dims: int, fan_in: int, fan_out: int, kernel: int, stride: int, dilation: int) -> nn.Module:
    """Return a depthwise convolution followed by a pointwise one."""
    return Separable(fan_in=fan_in, fan_out=fan_out, kernel=kernel, stride=stride, dilation=dilation, dims=dims)


def pointwise(dims: int, fan_in: int, fan_out: int, kernel: int, stride: int, dilation: int) -> nn.Module:
    """Return a linear map of the channels, the same at each place."""
    return CONVOLUTION[dims](fan_in, fan_out, 1, stride)


def transposed(dims: int, fan_in: int, fan_out: int, kernel: int, stride: int, dilation: int) -> nn.Module:
    """Return a transposed convolution that multiplies the size by the stride."""
    excess = dilation * (kernel - 1) + 1 - stride
    padding = max(0, -(-excess // 2))
    rest = 2 * padding - excess
    if rest >= max(stride, dilation):
        raise ConfigError(EVEN.format("a transposed", kernel))
    return TRANSPOSED[dims](fan_in, fan_out, kernel, stride, padding, rest, dilation=dilation)


CONVOLUTIONS: dict[str, Callable[[int, int, int, int, int, int], nn.Module]] = {
    "full": full,
    "causal": causal,
    "separable": separable,
    "pointwise": pointwise,
    "transposed": transposed,
}


def convolution(
    name: str, fan_in: int, fan_out: int, *, kernel: int = 3, stride: int = 1, dilation: int = 1, dims: int = 2
) -> nn.Module:
    """Return the convolution called `name`; raise ConfigError if there is none or it cannot have `dims` dimensions."""
    if dims not in CONVOLUTION:
        raise ConfigError(f"dims={dims}: convolutions here have 1, 2 or 3 dimensions")
    return choose("convolution", name, CONVOLUTIONS)(dims, fan_in, fan_out, kernel, stride, dilation)


def unit(
    fan_in: int,
    fan_out: int,
    kernel: int = 3,
    *,
    stride: int = 1,
    padding: int | None = None,
    normal: str = "batch",
    bias: bool | None = None,
) -> nn.Sequential:
    """Return convolution, norm, ReLU; without a norm the convolution needs a bias of its own."""
    padding = (kernel - 1) // 2 if padding is None else padding
    bias = normal == "none" if bias is None else bias
    return nn.Sequential(
        nn.Conv2d(fan_in, fan_out, kernel, stride, padding, bias=bias), norm(normal, fan_out, 2), nn.ReLU(inplace=True)
    )
