"""Residual nets (He, Zhang, Ren & Sun 2016, arXiv:1512.03385), their plain twins, and gated relatives.

    add       y = x + F(x)
    none      y = F(x)                            the plain twin: no shortcut at all
    gate      y = sigmoid(x) x + F(x)             how much of x passes follows from x itself
    highway   y = (1 - g) x + g F(x), g = sigmoid(W x + b)     Srivastava et al. 2015 (arXiv:1505.00387)

F is convolution 3x3 - norm - ReLU - convolution 3x3 - norm, or 1x1 - 3x3 - 1x1 with four times the maps (bottleneck);
a ReLU follows y. With preactivation (He et al. 2016, arXiv:1603.05027) norm and ReLU stand before the convolutions
instead, nothing follows y, and the 1x1 convolution of a shortcut has no norm.

depth 18, 34, 50, 101, 152: four stages of 64, 128, 256, 512 maps (50 and more: bottlenecks); where the shape changes, a
1x1 convolution carries x over. 11,689,512 to 60,192,808 weights for a thousand classes. The stride of a bottleneck
stands at its 3x3 convolution, which sees every place; in the paper it stands at the first 1x1.
depth 6 n + 2, such as 20, 32, 44, 56, 110: three stages of 16, 32, 64 maps, n blocks each, for CIFAR-10; where the
shape changes, x is thinned out and filled up with zeros (option A, no weights), so that the plain twin has as many.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch.nn.functional as F
from torch import Tensor, nn

from dlcli.errors import ConfigError
from dlcli.nets.convolutions import unit
from dlcli.nets.layers import Picture, choose, norm, scaled
from dlcli.nets.pooling import whole


class Layout(NamedTuple):
    """What a depth stands for."""

    blocks: tuple[int, ...]  # per stage
    widths: tuple[int, ...]  # maps of each stage
    bottleneck: bool = False
    padded: bool = False  # option A: zeros instead of a 1x1 convolution where the shape changes


FOUR = (64, 128, 256, 512)
LAYOUTS = {
    18: Layout((2, 2, 2, 2), FOUR),
    34: Layout((3, 4, 6, 3), FOUR),
    50: Layout((3, 4, 6, 3), FOUR, bottleneck=True),
    101: Layout((3, 4, 23, 3), FOUR, bottleneck=True),
    152: Layout((3, 8, 36, 3), FOUR, bottleneck=True),
}


def layout(depth: int) -> Layout:
    """Return the stages of a net of `depth` layers; raise ConfigError if there is no such net."""
    if depth in LAYOUTS:
        return LAYOUTS[depth]
    if depth < 8 or depth % 6 != 2:
        raise ConfigError(f"depth={depth}: take {', '.join(map(str, LAYOUTS))}, or 6 n + 2 (20, 32, 44, 56, 110)")
    return Layout(((depth - 2) // 6,) * 3, (16, 32, 64), padded=True)


class Pad(nn.Module):
    """Keep every `stride`-th place and add maps of zeros: a shortcut without weights."""

    def __init__(self, *, stride: int, extra: int):
        super().__init__()
        self.stride, self.extra = stride, extra

    def forward(self, x: Tensor) -> Tensor:  # (B, C, H, W) -> (B, C + extra, H / stride, W / stride)
        return F.pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, 0, self.extra))


class Add(nn.Module):
    """Add the shortcut: y = x + F."""

    def forward(self, x: Tensor, branch: Tensor) -> Tensor:
        return x + branch


class Plain(nn.Module):
    """Leave the shortcut out: y = F."""

    def forward(self, x: Tensor, branch: Tensor) -> Tensor:
        return branch


class Gate(nn.Module):
    """Let the shortcut decide itself how much of it passes: y = sigmoid(x) x + F."""

    def forward(self, x: Tensor, branch: Tensor) -> Tensor:
        return F.silu(x) + branch


class Highway(nn.Module):
    """Let a second, learned layer choose between the two: y = (1 - g) x + g F."""

    def __init__(self, *, width: int):
        super().__init__()
        self.gate = nn.Conv2d(width, width, 1)

    def forward(self, x: Tensor, branch: Tensor) -> Tensor:
        g = (self.gate(x) - 2).sigmoid()  # at the start nearly everything is carried over, whatever the initialization
        return x + g * (branch - x)


SHORTCUTS: dict[str, Callable[[int], nn.Module]] = {
    "add": lambda width: Add(),
    "none": lambda width: Plain(),
    "gate": lambda width: Gate(),
    "highway": lambda width: Highway(width=width),
}


class Block(nn.Module):
    """Two or three convolutions and the shortcut around them."""

    def __init__(
        self, *, fan_in: int, width: int, stride: int, plan: Layout, shortcut: str, preactivation: bool, normal: str
    ):
        super().__init__()
        fan_out = width * 4 if plan.bottleneck else width
        kernels = (1, 3, 1) if plan.bottleneck else (3, 3)
        strides = (1, stride, 1) if plan.bottleneck else (stride, 1)
        sizes = (fan_in, width, width, fan_out) if plan.bottleneck else (fan_in, width, fan_out)
        layers: list[nn.Module] = []
        for fan, size, kernel, step in zip(sizes, sizes[1:], kernels, strides, strict=False):
            convolution = nn.Conv2d(fan, size, kernel, step, kernel // 2, bias=normal == "none")
            if preactivation:
                layers += [norm(normal, fan, 2), nn.ReLU(), convolution]
            else:
                layers += [convolution, norm(normal, size, 2), nn.ReLU()]
        changes = (stride, fan_in) != (1, fan_out)
        self.first = nn.Sequential(*layers[:2]) if preactivation and changes else nn.Identity()
        self.branch = nn.Sequential(*layers[2 if preactivation and changes else 0 : None if preactivation else -1])
        carried = changes and shortcut != "none"
        self.skip = (
            carry(fan_in, fan_out, stride, plan, "none" if preactivation else normal) if carried else nn.Identity()
        )
        self.join = choose("shortcut", shortcut, SHORTCUTS)(fan_out)
        self.last = nn.Identity() if preactivation else nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:  # (B, C, H, W) -> (B, C', H / stride, W / stride)
        x = self.first(x)
        return self.last(self.join(self.skip(x), self.branch(x)))


def carry(fan_in: int, fan_out: int, stride: int, plan: Layout, normal: str) -> nn.Module:
    """Return what brings x to the shape of F(x)."""
    if plan.padded:
        return Pad(stride=stride, extra=fan_out - fan_in)
    return nn.Sequential(nn.Conv2d(fan_in, fan_out, 1, stride, bias=False), norm(normal, fan_out, 2))


def stem(form: str, channels: int, width: int, normal: str, preactivation: bool) -> nn.Sequential:
    """Return the first layers: 4 times smaller for large pictures, of the same size for small ones."""
    if choose("form", form, {"imagenet": True, "small": False}):
        return nn.Sequential(*unit(channels, width, 7, stride=2, normal=normal), nn.MaxPool2d(3, 2, 1))
    layers = unit(channels, width, normal=normal)
    return nn.Sequential(layers[0]) if preactivation else layers  # the first block brings norm and ReLU


class ResNet(nn.Module):
    """A stem, stages of residual blocks that halve the size between them, and a linear layer on the mean of places."""

    def __init__(
        self,
        *,
        picture: Picture,
        classes: int,
        depth: int = 20,
        form: str = "small",
        shortcut: str = "add",
        preactivation: bool = False,
        norm: str = "batch",
        scale: float = 1.0,
    ):
        super().__init__()
        plan = layout(depth)
        widths = [scaled(width, scale) for width in plan.widths]
        self.picture = picture
        self.stem = stem(form, picture.channels, widths[0], norm, preactivation)
        picture.need((4 if form == "imagenet" else 1) * 2 ** (len(widths) - 1), f"ResNet-{depth} with form={form}")
        fan_in, blocks = widths[0], []
        for stage, (width, count) in enumerate(zip(widths, plan.blocks, strict=True)):
            for number in range(count):
                stride = 2 if stage and not number else 1
                blocks.append(
                    Block(
                        fan_in=fan_in, width=width, stride=stride, plan=plan,
                        shortcut=shortcut, preactivation=preactivation, normal=norm,
                    )
                )  # fmt: skip
                fan_in = width * 4 if plan.bottleneck else width
        self.blocks = nn.Sequential(*blocks)
        self.last = last(norm, fan_in) if preactivation else nn.Identity()
        self.head = nn.Sequential(whole("mean"), nn.Linear(fan_in, classes))

    def forward(self, x: Tensor) -> Tensor:  # (B, C, H, W) -> (B, classes)
        return self.head(self.last(self.blocks(self.stem(self.picture(x)))))


def last(normal: str, width: int) -> nn.Sequential:
    """Return norm and ReLU, which the last block of a pre-activation net lacks."""
    return nn.Sequential(norm(normal, width, 2), nn.ReLU(inplace=True))
