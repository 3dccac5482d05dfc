"""GoogLeNet (Szegedy et al. 2015, arXiv:1409.4842): kernels of several sizes side by side, 22 layers deep.

    reduced   [1x1 | 1x1 - 3x3 | 1x1 - 5x5 | 3x3 max pooling - 1x1], concatenated along the maps
    naive     [1x1 | 3x3 | 5x5 | 3x3 max pooling]: the pooled maps are all kept, so that the width grows
    heads     logits after modules 4a and 4d as well: they shorten the way of the gradient, in training alone

imagenet: 6,998,552 weights without the auxiliary heads, 13,378,280 with them. small is ours: one 3x3 convolution and
one pooling before the modules, which then run at 1/2, 1/4 and 1/8 of the picture's size.
"""

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from dlcli.nets.alexnet import LocalResponse
from dlcli.nets.convolutions import unit
from dlcli.nets.layers import Picture, choose, scaled
from dlcli.nets.pooling import whole

Sizes = tuple[int, int, int, int, int, int]

MODULES: dict[str, Sizes] = {  # maps of 1x1, reduction and 3x3, reduction and 5x5, after pooling
    "3a": (64, 96, 128, 16, 32, 32),
    "3b": (128, 128, 192, 32, 96, 64),
    "4a": (192, 96, 208, 16, 48, 64),
    "4b": (160, 112, 224, 24, 64, 64),
    "4c": (128, 128, 256, 24, 64, 64),
    "4d": (112, 144, 288, 32, 64, 64),
    "4e": (256, 160, 320, 32, 128, 128),
    "5a": (256, 160, 320, 32, 128, 128),
    "5b": (384, 192, 384, 48, 128, 128),
}
POOLED = ("3b", "4e")  # modules after which the size halves
AUXILIARY = ("4a", "4d")  # modules after which a head of its own stands
LEAST = {"imagenet": 32, "small": 8}


class Inception(nn.Module):
    """Run branches with different kernels on the same input and lay their maps one upon another."""

    def __init__(self, *, fan_in: int, sizes: Sizes, module: str = "reduced", norm: str = "none"):
        super().__init__()
        one, few, three, fewer, five, pooled = sizes

        def reduced(kernel: int, middle: int, width: int) -> nn.Sequential:
            return nn.Sequential(unit(fan_in, middle, 1, normal=norm), unit(middle, width, kernel, normal=norm))

        if choose("inception module", module, {"reduced": True, "naive": False}):
            last = nn.Sequential(nn.MaxPool2d(3, 1, 1), unit(fan_in, pooled, 1, normal=norm))
            branches = [reduced(3, few, three), reduced(5, fewer, five), last]
        else:
            last = nn.Sequential(nn.MaxPool2d(3, 1, 1))
            branches = [unit(fan_in, three, 3, normal=norm), unit(fan_in, five, 5, normal=norm), last]
            pooled = fan_in
        self.branches = nn.ModuleList([unit(fan_in, one, 1, normal=norm), *branches])
        self.width = one + three + five + pooled

    def forward(self, x: Tensor) -> Tensor:  # (B, C, H, W) -> (B, width, H, W)
        return torch.cat([branch(x) for branch in self.branches], 1)


def stem(form: str, channels: int, scale: float, norm: str) -> nn.Sequential:
    """Return what comes before the modules: 8 times smaller in the paper, 2 times smaller in the small form."""
    first, second = scaled(64, scale), scaled(192, scale)
    response = (LocalResponse() if norm == "none" else nn.Identity() for _ in range(2))
    pool = nn.MaxPool2d(3, 2, ceil_mode=True)
    if choose("form", form, {"imagenet": True, "small": False}):
        return nn.Sequential(
            unit(channels, first, 7, stride=2, normal=norm), pool, next(response),
            unit(first, first, 1, normal=norm), unit(first, second, normal=norm), next(response), pool,
        )  # fmt: skip
    return nn.Sequential(unit(channels, second, normal=norm), pool)


def auxiliary(fan_in: int, classes: int, scale: float, norm: str) -> nn.Sequential:
    """Return a head that reads 4x4 places (14x14 pooled by 5, 3 apart, in the paper)."""
    width, hidden = scaled(128, scale), scaled(1024, scale)
    return nn.Sequential(
        nn.AdaptiveAvgPool2d(4), unit(fan_in, width, 1, normal=norm), nn.Flatten(),
        nn.Linear(16 * width, hidden), nn.ReLU(inplace=True), nn.Dropout(0.7), nn.Linear(hidden, classes),
    )  # fmt: skip


class GoogLeNet(nn.Module):
    """Nine inception modules, global mean pooling, and two auxiliary heads for the training."""

    def __init__(
        self,
        *,
        picture: Picture,
        classes: int,
        form: str = "imagenet",
        module: str = "reduced",
        auxiliaries: bool = True,
        norm: str = "none",
        scale: float = 1.0,
        dropout: float = 0.4,
    ):
        super().__init__()
        self.picture = picture
        self.stem = stem(form, picture.channels, scale, norm)
        picture.need(LEAST[form], f"GoogLeNet with form={form}")
        self.inceptions, self.auxiliaries = nn.ModuleDict(), nn.ModuleDict()
        width = scaled(192, scale)
        for name, published in MODULES.items():
            one, few, three, fewer, five, pooled = (scaled(size, scale) for size in published)
            inception = Inception(fan_in=width, sizes=(one, few, three, fewer, five, pooled), module=module, norm=norm)
            width = inception.width
            self.inceptions[name] = inception
            if auxiliaries and name in AUXILIARY:
                self.auxiliaries[name] = auxiliary(width, classes, scale, norm)
        self.pool = nn.MaxPool2d(3, 2, ceil_mode=True)
        self.head = nn.Sequential(whole("mean"), nn.Dropout(dropout), nn.Linear(width, classes))

    def maps(self, x: Tensor) -> Iterator[tuple[str, Tensor]]:
        """Yield the name and the maps of each module."""
        x = self.stem(self.picture(x))
        for name, inception in self.inceptions.items():
            x = inception(x)
            yield name, x
            x = self.pool(x) if name in POOLED else x

    def heads(self, x: Tensor) -> list[Tensor]:
        """Return the logits of every head, (B, classes) each, the main one last."""
        logits = []
        for name, maps in self.maps(x):
            if name in self.auxiliaries:
                logits.append(self.auxiliaries[name](maps))
        return [*logits, self.head(maps)]

    def forward(self, x: Tensor) -> Tensor:  # (B, C, H, W) -> (B, classes)
        *_, (_, maps) = self.maps(x)
        return self.head(maps)
