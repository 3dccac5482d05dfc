"""What is done to a picture before it must be restored: noise, holes, loss of colour, loss of resolution.

    Gaussian       x + std * noise, clipped to [0, 1]: added to every number
    Masking        a share of the numbers becomes 0 (Vincent et al. 2008): missing values
    SaltAndPepper  a share of the numbers becomes 0 or 1, whichever a coin says (Vincent et al. 2010, JMLR 11); of other
                   numbers than pixels, the least or the greatest of the batch
    Blocks, Lines  squares or lines are lost; the mean of what is left fills them (Pathak et al. 2016, arXiv:1604.07379)
    Grey           red, green and blue become their brightness
    Coarse         the mean of each factor x factor square, brought back to full size by bicubic interpolation, as in
                   SRCNN (Dong et al. 2014, arXiv:1501.00092)

Each takes x (B, ...) or pictures (B, C, H, W) and returns the same shape, so that what a net is given is also the
restoration to beat: the noisy picture itself, the holes filled with a mean, the bicubic enlargement.
"""

from dataclasses import dataclass, replace
from typing import Self

import torch
import torch.nn.functional as F
from torch import Tensor

from dlcli.errors import ConfigError

BRIGHTNESS = (0.299, 0.587, 0.114)  # of red, green and blue (ITU-R BT.601)


class Corruption:
    """What is done to examples; `changes` tells whether what comes out differs from what goes in."""

    @property
    def changes(self) -> bool:
        return True

    def unbounded(self) -> Self:
        """Return the same corruption for numbers of any size, not pixels in [0, 1]."""
        return self

    def formed(self, x: Tensor) -> Tensor:
        """Return pictures that were corrupted elsewhere in the form in which this would have left them."""
        return x

    def fitting(self, x: Tensor) -> Tensor:
        """Return the part of pictures of any size that this can be done to."""
        return x

    def __call__(self, x: Tensor) -> Tensor:
        """Return the corrupted x, in its shape."""
        raise NotImplementedError(f"{type(self).__name__} does nothing")


@dataclass(frozen=True, kw_only=True)
class Clean(Corruption):
    """Leave everything as it is."""

    @property
    def changes(self) -> bool:
        return False

    def __call__(self, x: Tensor) -> Tensor:
        return x


@dataclass(frozen=True, kw_only=True)
class Gaussian(Corruption):
    """Add Gaussian noise; `clip` keeps pixels in [0, 1], and must be off for other numbers."""

    std: float = 0.4
    clip: bool = True

    @property
    def changes(self) -> bool:
        return self.std != 0

    def unbounded(self) -> Self:
        return replace(self, clip=False)

    def __call__(self, x: Tensor) -> Tensor:
        noisy = x + self.std * torch.randn_like(x)
        return noisy.clamp_(0, 1) if self.clip else noisy


@dataclass(frozen=True, kw_only=True)
class Masking(Corruption):
    """Set a random share of the numbers to zero."""

    share: float = 0.25

    @property
    def changes(self) -> bool:
        return self.share != 0

    def __call__(self, x: Tensor) -> Tensor:
        return x * (torch.rand_like(x) >= self.share)


@dataclass(frozen=True, kw_only=True)
class SaltAndPepper(Corruption):
    """Set a random share of the numbers to black or white, 0 or 1 where they are `pixels`."""

    share: float = 0.25
    pixels: bool = True

    @property
    def changes(self) -> bool:
        return self.share != 0

    def unbounded(self) -> Self:
        return replace(self, pixels=False)

    def __call__(self, x: Tensor) -> Tensor:
        black, white = (x.new_zeros(()), x.new_ones(())) if self.pixels else x.aminmax()
        chance = torch.rand_like(x)
        return torch.where(chance < self.share, torch.where(chance < self.share / 2, white, black), x)


@dataclass(frozen=True, kw_only=True)
class Blocks(Corruption):
    """Lose `count` squares of `size` x `size` pixels; they may overlap."""

    count: int = 1
    size: int = 10

    def __call__(self, x: Tensor) -> Tensor:
        height, width = sides(x)
        if min(height, width) <= self.size:
            raise ConfigError(f"blocks of size={self.size} leave nothing of {height}x{width} pixels; take smaller ones")
        rows, columns = (within(x, self.count, side, self.size) for side in (height, width))
        lost = rows[..., :, None] & columns[..., None, :]  # (B, count, H, W)
        return filled(x, lost.any(1, keepdim=True))


@dataclass(frozen=True, kw_only=True)
class Lines(Corruption):
    """Lose `count` lines of `size` pixels' thickness, half of them upright."""

    count: int = 4
    size: int = 2

    def __call__(self, x: Tensor) -> Tensor:
        height, width = sides(x)
        if self.count * self.size >= min(height, width):
            raise ConfigError(f"{self.count} lines of size={self.size} may hide {height}x{width} pixels; take fewer")
        upright = self.count // 2
        rows = within(x, self.count - upright, height, self.size).any(1)
        columns = within(x, upright, width, self.size).any(1)
        return filled(x, (rows[:, :, None] | columns[:, None, :])[:, None])


@dataclass(frozen=True, kw_only=True)
class Grey(Corruption):
    """Give all three channels the brightness of the colour."""

    def __call__(self, x: Tensor) -> Tensor:
        sides(x)
        if x.shape[1] != 3:
            raise ConfigError(
                f"corruption=grey takes the colour away, and these pictures have {x.shape[1]} channel(s), not 3: "
                "there is nothing to learn; take data in colour, such as data=photographs or data=cifar10"
            )
        shares = x.new_tensor(BRIGHTNESS).view(1, 3, 1, 1)
        return (x * shares).sum(1, keepdim=True).expand_as(x)


@dataclass(frozen=True, kw_only=True)
class Coarse(Corruption):
    """Lower the resolution by `factor` in both directions, and enlarge what is left."""

    factor: int = 2

    def __post_init__(self) -> None:
        if self.factor < 2:
            raise ConfigError(f"factor={self.factor}: the resolution is divided by it; give 2 or more")

    def __call__(self, x: Tensor) -> Tensor:
        height, width = sides(x)
        if height % self.factor or width % self.factor:
            fitting = [str(k) for k in range(2, min(height, width) + 1) if height % k == width % k == 0]
            raise ConfigError(
                f"factor={self.factor} does not divide pictures of {height}x{width} pixels; "
                f"{', '.join(fitting) or 'none but 1'} would"
            )
        return self.formed(F.avg_pool2d(x, self.factor))

    def fitting(self, x: Tensor) -> Tensor:
        height, width = (side - side % self.factor for side in sides(x))
        if not height or not width:
            raise ConfigError(
                f"factor={self.factor} leaves nothing of {x.shape[2]}x{x.shape[3]} pixels; take a larger picture"
            )
        return x[..., :height, :width]

    def formed(self, x: Tensor) -> Tensor:
        size = [self.factor * side for side in x.shape[2:]]
        return F.interpolate(x, size=size, mode="bicubic", align_corners=False).clamp_(0, 1)


def sides(x: Tensor) -> tuple[int, int]:
    """Return height and width of pictures; raise ConfigError for anything else."""
    if x.dim() != 4:
        raise ConfigError(
            f"this corruption needs pictures, and an example has the shape {tuple(x.shape[1:])}; "
            "take corruption=gaussian, masking or salt_and_pepper"
        )
    return x.shape[2], x.shape[3]


def within(x: Tensor, count: int, side: int, size: int) -> Tensor:
    """Tell which of `side` places lie in `count` random spans of `size` for each picture, (B, count, side)."""
    first = torch.randint(side - size + 1, (len(x), count, 1), device=x.device)
    places = torch.arange(side, device=x.device)
    return (places >= first) & (places < first + size)


def filled(x: Tensor, lost: Tensor) -> Tensor:
    """Return pictures in which the mean of each channel's other pixels stands where `lost` (B, 1, H, W) is true."""
    kept = (~lost).to(x.dtype)
    mean = (x * kept).sum((2, 3), keepdim=True) / kept.sum((2, 3), keepdim=True)
    return torch.where(lost, mean, x)
