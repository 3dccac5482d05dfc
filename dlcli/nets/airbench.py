"""A net made to learn CIFAR-10 in few epochs: whitened patches, three groups of convolutions, identity at the start.

Jordan 2024, "94% on CIFAR-10 in 3.29 seconds on a single GPU" (arXiv:2404.00498); patch whitening: Page 2019.

    whiten:  2x2 patches p -> +-E^T p / sqrt(l + eps), with E, l eigenvectors and eigenvalues of their covariance - GELU
    group i: convolution 3x3 - 2x2 max pooling - batch norm - GELU - convolution 3x3 - batch norm - GELU
    head:    max pooling over what is left (3x3) - linear / 9

x (B, C, 32, 32) -> (B, 8 C, 31, 31) -> 15x15 -> 7x7 -> 3x3 -> logits. Every convolution starts as the identity on its
first channels (Dirac), so that at the start the net passes whitened patches on to its head.
"""

from collections.abc import Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dlcli.errors import ConfigError
from dlcli.nets.layers import Picture, exact

PATCH = 2  # pixels along a side of what is whitened
SMALLEST = 9  # pixels: below, three poolings leave nothing


class Whitening(nn.Module):
    """Decorrelate patches with filters that the first training batch determines; only the bias is learned.

    Each direction is there with both signs, so that no activation after it loses anything.
    """

    def __init__(self, *, channels: int, eps: float = 5e-4):
        super().__init__()
        directions = channels * PATCH**2
        self.eps = eps
        self.weight: Tensor
        self.register_buffer("weight", torch.zeros(2 * directions, channels, PATCH, PATCH))
        self.bias = nn.Parameter(torch.zeros(2 * directions))
        self.known = False  # asking the weights at every step would wait for the GPU

    def forward(self, x: Tensor) -> Tensor:  # (B, C, H, W) -> (B, 8 C, H - 1, W - 1)
        if self.training and not self.known:
            if not self.weight.any():  # a resumed run has its filters
                self.fit(x)
            self.known = True
        return F.conv2d(x, self.weight, self.bias)

    @exact  # eigenvectors are not to be had in half precision
    @torch.no_grad()
    def fit(self, x: Tensor) -> None:
        """Set the filters to the whitening of all patches of a batch."""
        patches = F.unfold(x, PATCH).movedim(1, -1).flatten(0, 1)  # (B * H * W, C * 4)
        covariance = patches.T.cov() if len(patches) > 1 else torch.eye(patches.shape[1], device=x.device)
        values, vectors = torch.linalg.eigh(covariance)
        filters = (vectors / (values.clamp_min(0) + self.eps).sqrt()).T.view(-1, *self.weight.shape[1:])
        self.weight.copy_(torch.cat([filters, -filters]))


def convolution(fan_in: int, fan_out: int) -> nn.Conv2d:
    """Return a 3x3 convolution that starts by passing its input on, as far as it has channels for it."""
    layer = nn.Conv2d(fan_in, fan_out, 3, padding=1, bias=False)
    nn.init.dirac_(layer.weight[: min(fan_in, fan_out)])
    return layer


def norm(width: int, momentum: float) -> nn.BatchNorm2d:
    """Return a batch norm whose scale stays one: the next convolution can scale as well."""
    layer = nn.BatchNorm2d(width, momentum=momentum)
    layer.weight.requires_grad_(False)
    return layer


def group(fan_in: int, fan_out: int, momentum: float) -> nn.Sequential:
    """Return two convolutions that halve height and width between them."""
    return nn.Sequential(
        convolution(fan_in, fan_out), nn.MaxPool2d(2), norm(fan_out, momentum), nn.GELU(),
        convolution(fan_out, fan_out), norm(fan_out, momentum), nn.GELU(),
    )  # fmt: skip


class Airbench(nn.Module):
    """Whitening, one group per entry of `widths`, and a linear head; for small pictures."""

    def __init__(
        self,
        *,
        picture: Picture,
        classes: int,
        widths: Sequence[int] = (64, 256, 256),
        momentum: float = 0.4,
    ):
        super().__init__()
        picture.need(SMALLEST, "airbench (model=cnn takes smaller ones)")
        if len(widths) != 3:
            raise ConfigError(f"widths={list(widths)}: this net has three groups; give three widths")
        self.picture = picture
        self.whiten = Whitening(channels=picture.channels)
        sizes = [2 * picture.channels * PATCH**2, *widths]
        self.groups = nn.Sequential(*[group(*pair, momentum) for pair in pairwise(sizes)])
        self.head = nn.Linear(widths[-1], classes, bias=False)

    def forward(self, x: Tensor) -> Tensor:  # (B, C, H, W) -> (B, classes)
        x = self.groups(F.gelu(self.whiten(self.picture(x))))
        return self.head(x.amax((2, 3))) / 9
