"""Change pictures without changing what they show: batched tensor operations on the device.

Each augmentation maps pictures x (B, C, H, W) in [0, 1] to pictures of the same shape and range. It takes its
randomness from `draw(count)`, which returns fresh uniform numbers (B, count); as these depend on seed, epoch and
example alone, a picture is changed in the same way whatever batch it comes in.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from dlcli.data.randomness import Draw, normal
from dlcli.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class Chain:
    """Apply several augmentations in turn; an empty chain changes nothing and is false."""

    steps: Sequence[Callable[[Tensor, Draw], Tensor]] = ()

    def __len__(self) -> int:
        """Count the steps."""
        return len(self.steps)

    def __call__(self, x: Tensor, draw: Draw) -> Tensor:
        """Return changed pictures (B, C, H, W)."""
        for step in self.steps:
            x = step(x, draw)
        return x


@dataclass(frozen=True, kw_only=True)
class Shift:
    """Move each picture by whole pixels, up to `pixels` in both directions; what enters is black."""

    pixels: int = 2

    def __post_init__(self) -> None:
        _require("pixels", self.pixels)

    def __call__(self, x: Tensor, draw: Draw) -> Tensor:
        """Return moved pictures (B, C, H, W)."""
        return _window(F.pad(x, [self.pixels] * 4), draw, x.shape)


@dataclass(frozen=True, kw_only=True)
class Crop:
    """Cut each picture out of itself with a mirrored border of `padding` pixels, at a random place.

    The crop from a black border is `Shift`.
    """

    padding: int = 4

    def __post_init__(self) -> None:
        _require("padding", self.padding)

    def __call__(self, x: Tensor, draw: Draw) -> Tensor:
        """Return cropped pictures (B, C, H, W)."""
        if self.padding >= min(x.shape[-2:]):
            raise ConfigError(
                f"augment.padding={self.padding} exceeds pictures of {x.shape[-2]} x {x.shape[-1]}: "
                f"a mirrored border is at most {min(x.shape[-2:]) - 1} pixels wide"
            )
        return _window(F.pad(x, [self.padding] * 4, mode="reflect"), draw, x.shape)


@dataclass(frozen=True, kw_only=True)
class Flip:
    """Mirror each picture left to right with probability one half; not for digits or letters."""

    def __call__(self, x: Tensor, draw: Draw) -> Tensor:
        """Return pictures (B, C, H, W), about half of them mirrored."""
        return torch.where(draw(1)[:, :, None, None] < 0.5, x.flip(-1), x)


@dataclass(frozen=True, kw_only=True)
class Affine:
    """Turn, move and zoom each picture about its centre, by bilinear interpolation.

    Angle in [-degrees, degrees], counter-clockwise; shift in [-pixels, pixels] along both axes; factor in
    [1 - scale, 1 + scale]; all uniform. What enters is black.
    """

    degrees: float = 10.0
    pixels: float = 2.0
    scale: float = 0.1

    def __post_init__(self) -> None:
        _require("degrees", self.degrees)
        _require("pixels", self.pixels)
        _require("scale", self.scale, below=1.0)

    def __call__(self, x: Tensor, draw: Draw) -> Tensor:
        """Return warped pictures (B, C, H, W)."""
        height, width = x.shape[-2:]
        angle, right, down, zoom = (2 * draw(4) - 1)[:, :, None, None].unbind(1)  # each (B, 1, 1), in [-1, 1)
        angle = angle * math.radians(self.degrees)
        zoom = 1 + zoom * self.scale
        # where the content of each pixel comes from, in pixels from the centre
        across = torch.arange(width, device=x.device) - (width - 1) / 2 - right * self.pixels  # (B, 1, W)
        along = torch.arange(height, device=x.device)[:, None] - (height - 1) / 2 - down * self.pixels  # (B, H, 1)
        column = (angle.cos() * across - angle.sin() * along) / zoom + (width - 1) / 2  # (B, H, W)
        row = (angle.sin() * across + angle.cos() * along) / zoom + (height - 1) / 2
        # grid_sample counts from -1 to 1 between the outer edges of the outer pixels
        grid = torch.stack([(2 * column + 1) / width - 1, (2 * row + 1) / height - 1], dim=-1)  # (B, H, W, 2)
        return F.grid_sample(x, grid.to(x.dtype), align_corners=False).clamp_(0, 1)


@dataclass(frozen=True, kw_only=True)
class Rotate:
    """Turn each picture about its centre by up to `degrees` either way."""

    degrees: float = 10.0

    def __post_init__(self) -> None:
        _require("degrees", self.degrees)

    def __call__(self, x: Tensor, draw: Draw) -> Tensor:
        """Return turned pictures (B, C, H, W)."""
        return Affine(degrees=self.degrees, pixels=0.0, scale=0.0)(x, draw)


@dataclass(frozen=True, kw_only=True)
class Noise:
    """Add Gaussian noise of standard deviation `std` to each pixel, and clip to [0, 1]."""

    std: float = 0.1

    def __post_init__(self) -> None:
        _require("std", self.std)

    def __call__(self, x: Tensor, draw: Draw) -> Tensor:
        """Return noisy pictures (B, C, H, W)."""
        return (x + self.std * normal(draw, x[0].numel()).view_as(x)).clamp_(0, 1)


@dataclass(frozen=True, kw_only=True)
class Cutout:
    """Blacken a square of side `size` about a random pixel (DeVries and Taylor 2017, arXiv:1708.04552).

    The square may reach over the border, as in the paper.
    """

    size: int = 8

    def __post_init__(self) -> None:
        _require("size", self.size)

    def __call__(self, x: Tensor, draw: Draw) -> Tensor:
        """Return pictures (B, C, H, W) with a hole each."""
        row, column = (_inside(draw, length, self.size) for length in x.shape[-2:])  # (B, H), (B, W)
        return x.masked_fill((row[:, :, None] & column[:, None, :])[:, None], 0)


@dataclass(frozen=True, kw_only=True)
class Bernoulli:
    """Draw each pixel anew as 0 or 1, with its value as the probability of 1: dynamic binarization.

    Burda, Grosse, Salakhutdinov, "Importance weighted autoencoders", 2016, arXiv:1509.00519.
    """

    def __call__(self, x: Tensor, draw: Draw) -> Tensor:
        """Return pictures (B, C, H, W) of zeros and ones."""
        return (draw(x[0].numel()).view_as(x) < x).to(x.dtype)


def _window(padded: Tensor, draw: Draw, shape: Sequence[int]) -> Tensor:
    """Cut a window of `shape` (B, C, H, W) out of each padded picture, all places equally likely."""
    rows, columns = (
        (draw(1) * (long - short + 1)).long() + torch.arange(short, device=padded.device)  # (B, H) and (B, W)
        for long, short in zip(padded.shape[-2:], shape[-2:], strict=True)
    )
    place = rows[:, :, None] * padded.shape[-1] + columns[:, None, :]  # (B, H, W), into the flat picture
    return padded.flatten(2).gather(2, place.flatten(1)[:, None].expand(-1, shape[1], -1)).view(*shape)


def _inside(draw: Draw, length: int, size: int) -> Tensor:
    """Tell for each position (B, length) whether it lies in an interval of `size` about a random position."""
    first = (draw(1) * length).long() - size // 2
    position = torch.arange(length, device=first.device)
    return (position >= first) & (position < first + size)


def _require(name: str, value: float, below: float = math.inf) -> None:
    if not 0 <= value < below:
        limit = "" if below == math.inf else f" and below {below}"
        raise ConfigError(f"augment.{name}={value} is out of range: it must be at least 0{limit}")
