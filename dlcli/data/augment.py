"""Change pictures without changing what they show: batched tensor operations on the device.

Randomness comes from `draw(count)`, fresh uniform numbers (B, count); as these depend on seed, epoch and example alone,
a picture is changed in the same way whatever batch it comes in.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from dlcli.data.change import Augmentation, Geometric, Move, require, sampled
from dlcli.data.randomness import Draw, normal
from dlcli.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class Chain:
    """Apply several augmentations in turn; an empty chain changes nothing and is false."""

    steps: Sequence[Callable[[Any, Draw], Any]] = ()

    def __len__(self) -> int:
        """Count the steps."""
        return len(self.steps)

    def __call__(self, batch: Any, draw: Draw) -> Any:
        """Return the changed batch."""
        for step in self.steps:
            batch = step(batch, draw)
        return batch


@dataclass(frozen=True, kw_only=True)
class Shift(Geometric):
    """Move each picture by whole pixels, up to `pixels` in both directions; what enters is black."""

    pixels: int = 2

    def __post_init__(self) -> None:
        require("pixels", self.pixels)

    def plan(self, x: Tensor, draw: Draw, mirrored: bool) -> Move:
        """Draw one of the (2 pixels + 1)^2 places for each picture."""
        mode = "reflect" if mirrored else "constant"
        return _window(x, draw, self.pixels, mode)


@dataclass(frozen=True, kw_only=True)
class Crop(Geometric):
    """Cut each picture out of itself with a mirrored border of `padding` pixels, at a random place.

    The crop from a black border is `Shift`.
    """

    padding: int = 4

    def __post_init__(self) -> None:
        require("padding", self.padding)

    def plan(self, x: Tensor, draw: Draw, mirrored: bool) -> Move:
        """Draw one of the (2 padding + 1)^2 places for each picture."""
        if self.padding >= min(x.shape[-2:]):
            raise ConfigError(
                f"augment.padding={self.padding} exceeds pictures of {x.shape[-2]} x {x.shape[-1]}: "
                f"a mirrored border is at most {min(x.shape[-2:]) - 1} pixels wide"
            )
        return _window(x, draw, self.padding, "reflect")


@dataclass(frozen=True, kw_only=True)
class Flip(Geometric):
    """Mirror each picture left to right with probability one half; not for digits or letters."""

    def plan(self, x: Tensor, draw: Draw, mirrored: bool) -> Move:
        """Draw about half of the pictures."""
        chosen = draw(1)[:, :, None, None] < 0.5  # (B, 1, 1, 1)
        return lambda planes, mode: torch.where(chosen, planes.flip(-1), planes)


@dataclass(frozen=True, kw_only=True)
class Affine(Geometric):
    """Turn, move and zoom each picture about its centre, by bilinear interpolation.

    Angle in [-degrees, degrees], counter-clockwise; shift in [-pixels, pixels] along both axes; factor in
    [1 - scale, 1 + scale]; all uniform. What enters is black.
    """

    degrees: float = 10.0
    pixels: float = 2.0
    scale: float = 0.1

    def __post_init__(self) -> None:
        require("degrees", self.degrees)
        require("pixels", self.pixels)
        require("scale", self.scale, below=1.0)

    def plan(self, x: Tensor, draw: Draw, mirrored: bool) -> Move:
        """Draw angle, shifts and factor of each picture."""
        height, width = x.shape[-2:]
        angle, right, down, zoom = (2 * draw(4) - 1)[:, :, None, None].unbind(1)  # each (B, 1, 1), in [-1, 1)
        angle = angle * math.radians(self.degrees)
        zoom = 1 + zoom * self.scale
        # where the content of each pixel comes from, in pixels from the centre
        across = torch.arange(width, device=x.device) - (width - 1) / 2 - right * self.pixels  # (B, 1, W)
        along = torch.arange(height, device=x.device)[:, None] - (height - 1) / 2 - down * self.pixels  # (B, H, 1)
        column = (angle.cos() * across - angle.sin() * along) / zoom + (width - 1) / 2  # (B, H, W)
        row = (angle.sin() * across + angle.cos() * along) / zoom + (height - 1) / 2
        return sampled(row, column, mirrored)


@dataclass(frozen=True, kw_only=True)
class Rotate(Geometric):
    """Turn each picture about its centre by up to `degrees` either way."""

    degrees: float = 10.0

    def __post_init__(self) -> None:
        require("degrees", self.degrees)

    def plan(self, x: Tensor, draw: Draw, mirrored: bool) -> Move:
        """Draw the angle of each picture."""
        return Affine(degrees=self.degrees, pixels=0.0, scale=0.0).plan(x, draw, mirrored)


@dataclass(frozen=True, kw_only=True)
class Noise(Augmentation):
    """Add Gaussian noise of standard deviation `std` to each pixel, and clip to [0, 1]."""

    std: float = 0.1

    def __post_init__(self) -> None:
        require("std", self.std)

    def change(self, x: Tensor, draw: Draw) -> Tensor:
        """Return noisy pictures (B, C, H, W)."""
        return (x + self.std * normal(draw, x[0].numel()).view_as(x)).clamp_(0, 1)


@dataclass(frozen=True, kw_only=True)
class Cutout(Augmentation):
    """Blacken a square of side `size` about a random pixel (DeVries and Taylor 2017, arXiv:1708.04552).

    The square may reach over the border, as in the paper.
    """

    size: int = 8

    def __post_init__(self) -> None:
        require("size", self.size)

    def change(self, x: Tensor, draw: Draw) -> Tensor:
        """Return pictures (B, C, H, W) with a hole each."""
        row, column = (_inside(draw, length, self.size) for length in x.shape[-2:])  # (B, H), (B, W)
        return x.masked_fill((row[:, :, None] & column[:, None, :])[:, None], 0)


@dataclass(frozen=True, kw_only=True)
class Bernoulli(Augmentation):
    """Draw each pixel anew as 0 or 1, with its value as the probability of 1: dynamic binarization.

    Burda, Grosse, Salakhutdinov, "Importance weighted autoencoders", 2016, arXiv:1509.00519.
    """

    def change(self, x: Tensor, draw: Draw) -> Tensor:
        """Return pictures (B, C, H, W) of zeros and ones."""
        return (draw(x[0].numel()).view_as(x) < x).to(x.dtype)


def _window(x: Tensor, draw: Draw, border: int, mode: str) -> Move:
    """Return what cuts a window out of each padded picture, all places equally likely."""
    rows, columns = (
        (draw(1) * (2 * border + 1)).long() + torch.arange(length, device=x.device)  # (B, H) and (B, W)
        for length in x.shape[-2:]
    )
    place = rows[:, :, None] * (x.shape[-1] + 2 * border) + columns[:, None, :]  # (B, H, W), into the flat picture

    def move(planes: Tensor, _: str) -> Tensor:
        padded = F.pad(planes, [border] * 4, mode=mode).flatten(2)
        return padded.gather(2, place.flatten(1)[:, None].expand(-1, planes.shape[1], -1)).view(planes.shape)

    return move


def _inside(draw: Draw, length: int, size: int) -> Tensor:
    """Tell for each position (B, length) whether it lies in an interval of `size` about a random position."""
    first = (draw(1) * length).long() - size // 2
    position = torch.arange(length, device=first.device)
    return (position >= first) & (position < first + size)
