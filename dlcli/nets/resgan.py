"""Residual generator and critic (Gulrajani et al. 2017, arXiv:1704.00028; Miyato et al. 2018, arXiv:1802.05957).

    generator  code -> s x s maps, blocks that double height and width, norm, ReLU, 3x3 convolution
    critic     two blocks that halve height and width, two that do not, ReLU, sum over all places

A block is  y = r(x) + F(x),  F = norm, ReLU, 3x3, norm, ReLU, 3x3,  r a 1x1 convolution; both are resized by the
nearest pixel or by means of 2x2 pixels. The first block of the critic begins with its convolution, as ReLU would cut
pixels. All blocks have `width` maps: 128 in the critic and 256 in the generator for CIFAR-10. The generator begins
where the sides can be halved no more (28 -> 7, 32 -> 4), the critic has two blocks that halve and two that do not.
"""

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from dlcli.nets.dcgan import sides_of
from dlcli.nets.gan import Critic, plain
from dlcli.nets.layers import Picture, activation
from dlcli.nets.layers import norm as make_norm

FACTORS = (0.5, 0.5, 1.0, 1.0)  # of the blocks of the critic


class Block(nn.Module):
    """Two convolutions and a shortcut; `factor` 2 doubles height and width, 0.5 halves them, 1 keeps them."""

    def __init__(self, *, fan_in: int, fan_out: int, factor: float, norm: str, first: bool = False):
        super().__init__()
        self.factor = factor
        self.before = nn.Sequential(*([] if first else [make_norm(norm, fan_in, 2), nn.ReLU()]))
        self.inner = nn.Conv2d(fan_in, fan_out, 3, padding=1)
        self.outer = nn.Sequential(make_norm(norm, fan_out, 2), nn.ReLU(), nn.Conv2d(fan_out, fan_out, 3, padding=1))
        self.skip = nn.Identity() if factor == 1 and fan_in == fan_out else nn.Conv2d(fan_in, fan_out, 1)

    def forward(self, x: Tensor) -> Tensor:  # (B, C, H, W) -> (B, C', factor H, factor W)
        h = self.before(x)
        if self.factor > 1:  # the 1x1 convolution is resized like F, wherever fewer pixels make it cheaper
            return self.outer(self.inner(resized(h, self.factor))) + resized(self.skip(x), self.factor)
        return resized(self.outer(self.inner(h)), self.factor) + self.skip(resized(x, self.factor))


def resized(x: Tensor, factor: float) -> Tensor:
    """Return maps of another size."""
    if factor == 1:
        return x
    return F.interpolate(x, scale_factor=factor, mode="nearest") if factor > 1 else F.avg_pool2d(x, 2)


class ResGenerator(nn.Module):
    """From codes to pictures by residual blocks."""

    def __init__(
        self,
        *,
        inputs: Sequence[int],
        shape: Sequence[int],
        width: int = 256,
        norm: str = "batch",
        output: str = "sigmoid",
    ):
        super().__init__()
        self.inputs = list(inputs)
        channels, *sides = shape
        rows, columns = sides_of(*sides)
        self.layers = nn.Sequential(
            nn.Linear(sum(inputs), width * rows[-1] * columns[-1]),
            nn.Unflatten(1, (width, rows[-1], columns[-1])),
            *[Block(fan_in=width, fan_out=width, factor=2, norm=norm) for _ in rows[1:]],
            make_norm(norm, width, 2),
            nn.ReLU(),
            nn.Conv2d(width, channels, 3, padding=1),
            activation(output),
        )

    def forward(self, codes: Tensor) -> Tensor:  # (B, inputs) -> (B, C, H, W)
        return self.layers(codes)


class ResCritic(Critic):
    """From pictures to a logit by residual blocks."""

    def __init__(
        self,
        *,
        picture: Picture,
        width: int = 128,
        norm: str = "none",
        classes: int = 0,
        projection: bool = False,
        kernels: int = 0,
        answers: Sequence[int] = (),
    ):
        super().__init__(classes=classes, projection=projection, kernels=kernels, answers=answers)
        picture.need(4, "a residual critic")
        fans = [picture.channels + self.joined, *[width] * len(FACTORS)]
        blocks = [
            Block(fan_in=fan_in, fan_out=width, factor=factor, norm=plain(norm), first=not place)
            for place, (fan_in, factor) in enumerate(zip(fans, FACTORS, strict=False))
        ]
        self.picture = picture
        self.layers = nn.Sequential(*blocks, nn.ReLU())
        self.finish(width, norm)

    def features(self, x: Tensor, told: Tensor | None = None) -> Tensor:
        return self.layers(self.joining(self.picture(x), told)).sum((2, 3))
