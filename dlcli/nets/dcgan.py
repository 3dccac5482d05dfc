"""Deep convolutional GAN (Radford, Metz & Chintala 2016, arXiv:1511.06434), for pictures whose sides can be halved.

    generator  code -> [hidden ->] s x s maps, then 4x4 transposed convolutions that double height and width
    critic     4x4 convolutions that halve height and width [-> hidden], then a linear layer
    encoder    the same convolutions, then a linear layer and a norm: with a generator behind it an autoencoder

The sides are halved until they are odd or at most four pixels: 28 -> 14 -> 7, 32 -> 16 -> 8 -> 4. The maps double from
`width` at every halving. Norms stand everywhere but at the picture; ReLU in the generator, leaky ReLU with slope 0.2 in
the critic; weights start as N(0, 0.02^2), the scales of norms as N(1, 0.02^2).

width=64 is the published one. With hidden=1024 and pictures of 28 x 28 these are the nets of InfoGAN (Chen et al. 2016)
in which Lucic et al. (2018, arXiv:1711.10337) compare GANs.
"""

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from dlcli.errors import ConfigError
from dlcli.nets.gan import ACTIVATION, Critic, plain
from dlcli.nets.layers import Picture, activation
from dlcli.nets.layers import norm as make_norm

STD = 0.02  # of the first weights


class ConvGenerator(nn.Module):
    """From codes to pictures by transposed convolutions; `hidden` units before them, 0 for none."""

    def __init__(
        self,
        *,
        inputs: Sequence[int],
        shape: Sequence[int],
        width: int = 64,
        hidden: int = 0,
        norm: str = "batch",
        output: str = "sigmoid",
    ):
        super().__init__()
        self.inputs = list(inputs)
        channels, *sides = shape
        rows, columns = sides_of(*sides)
        times = len(rows) - 1
        widths = [width << i for i in range(times)][::-1]
        codes = sum(inputs)
        first = widths[0] * rows[-1] * columns[-1]
        layers = dense(codes, hidden, norm) if hidden else []
        layers += [*dense(hidden or codes, first, "none")[:1], nn.Unflatten(1, (widths[0], rows[-1], columns[-1]))]
        for fan_in, fan_out in pairwise([*widths, channels]):
            layers += [make_norm(norm, fan_in, 2), nn.ReLU(), nn.ConvTranspose2d(fan_in, fan_out, 4, 2, 1)]
        self.layers = nn.Sequential(*layers, activation(output))
        start(self)

    def forward(self, codes: Tensor) -> Tensor:  # (B, inputs) -> (B, C, H, W)
        return self.layers(codes)


class ConvCritic(Critic):
    """From pictures to a logit by strided convolutions; `hidden` units after them, 0 for none."""

    def __init__(
        self,
        *,
        picture: Picture,
        width: int = 64,
        hidden: int = 0,
        norm: str = "batch",
        classes: int = 0,
        projection: bool = False,
        kernels: int = 0,
        answers: Sequence[int] = (),
    ):
        super().__init__(classes=classes, projection=projection, kernels=kernels, answers=answers)
        rows, columns = sides_of(picture.height, picture.width)
        widths = [picture.channels + self.joined, *(width << i for i in range(len(rows) - 1))]
        features = widths[-1] * rows[-1] * columns[-1]
        after = dense(features, hidden, plain(norm), ACTIVATION) if hidden else []
        self.picture = picture
        self.layers = nn.Sequential(*halving(widths, plain(norm)), nn.Flatten(), *after)
        self.finish(hidden or features, norm)
        start(self)

    def features(self, x: Tensor, told: Tensor | None = None) -> Tensor:
        return self.layers(self.joining(self.picture(x), told))


class ConvEncoder(nn.Module):
    """From pictures to codes by strided convolutions; the codes have a norm too."""

    def __init__(self, *, picture: Picture, latent: int, width: int = 64, norm: str = "batch"):
        super().__init__()
        rows, columns = sides_of(picture.height, picture.width)
        widths = [picture.channels, *(width << i for i in range(len(rows) - 1))]
        features = widths[-1] * rows[-1] * columns[-1]
        self.picture = picture
        self.layers = nn.Sequential(*halving(widths, norm), nn.Flatten(), *dense(features, latent, norm, "identity"))
        start(self)

    def forward(self, x: Tensor) -> Tensor:  # (B, C, H, W) -> (B, latent)
        return self.layers(self.picture(x))


def halving(widths: Sequence[int], norm: str) -> list[nn.Module]:
    """Return convolutions that halve height and width, with norms behind all but the first."""
    layers: list[nn.Module] = []
    for place, (fan_in, fan_out) in enumerate(pairwise(widths)):
        layers += [nn.Conv2d(fan_in, fan_out, 4, 2, 1), make_norm(norm if place else "none", fan_out, 2)]
        layers.append(activation(ACTIVATION))
    return layers


def dense(fan_in: int, fan_out: int, norm: str, function: str = "relu") -> list[nn.Module]:
    """Return a fully connected layer with norm and activation."""
    return [nn.Linear(fan_in, fan_out), make_norm(norm, fan_out, 1), activation(function)]


def sides_of(height: int, width: int) -> tuple[list[int], list[int]]:
    """Return height and width before and after each halving. Raises ConfigError if they cannot be halved."""
    rows, columns = [height], [width]
    while rows[-1] % 2 == 0 and columns[-1] % 2 == 0 and min(rows[-1], columns[-1]) > 4:
        rows.append(rows[-1] // 2)
        columns.append(columns[-1] // 2)
    if len(rows) == 1:
        raise ConfigError(
            f"pictures of {height}x{width} cannot be halved to more than two pixels; "
            "take even sides of at least 6, such as 28 or 32"
        )
    return rows, columns


@torch.no_grad()
def start(net: nn.Module) -> None:
    """Give a net its first weights."""
    for name, weight in net.named_parameters():
        if weight.dim() > 1:
            nn.init.normal_(weight, std=STD)
        elif "bias" in name:
            weight.zero_()
        else:
            nn.init.normal_(weight, mean=1.0, std=STD)
