"""Network in network (Lin, Chen & Yan 2014, arXiv:1312.4400): a small MLP slides over the picture.

    mlpconv   convolution k x k - ReLU - convolution 1x1 - ReLU - convolution 1x1 - ReLU
    head      the last 1x1 convolution has one map per class; its mean over all places is the logit

The ReLU that the paper has after the last convolution as well is left out: it would forbid negative logits.
There is no fully connected layer, so pictures of any size will do. small (CIFAR-10): 966,986 weights for ten classes;
imagenet: 7,595,176 for a thousand.
"""

from torch import Tensor, nn

from dlcli.nets.convolutions import unit
from dlcli.nets.layers import Picture, choose, scaled
from dlcli.nets.pooling import whole

Stage = tuple[int, int, int, tuple[int, int, int]]  # kernel, stride, padding, widths; the last width is the classes

FORMS: dict[str, tuple[Stage, ...]] = {
    "small": ((5, 1, 2, (192, 160, 96)), (5, 1, 2, (192, 192, 192)), (3, 1, 1, (192, 192, 0))),
    "imagenet": (
        (11, 4, 0, (96, 96, 96)), (5, 1, 2, (256, 256, 256)), (3, 1, 1, (384, 384, 384)), (3, 1, 1, (1024, 1024, 0)),
    ),
}  # fmt: skip
LEAST = {"small": 4, "imagenet": 51}


def mlpconv(fan_in: int, widths: tuple[int, ...], stage: Stage, norm: str) -> nn.Sequential:
    """Return a convolution and two more of 1x1; the last convolution of the net ends plain."""
    kernel, stride, padding, published = stage
    first, second, third = widths
    last = unit(second, third, 1, normal=norm) if published[-1] else [nn.Conv2d(second, third, 1)]
    return nn.Sequential(
        *unit(fan_in, first, kernel, stride=stride, padding=padding, normal=norm),
        *unit(first, second, 1, normal=norm),
        *last,
    )


class NIN(nn.Module):
    """Three or four mlpconv layers, overlapping pooling and dropout between them, global mean pooling."""

    def __init__(
        self,
        *,
        picture: Picture,
        classes: int,
        form: str = "small",
        norm: str = "none",
        scale: float = 1.0,
        dropout: float = 0.5,
    ):
        super().__init__()
        stages = choose("form", form, FORMS)
        picture.need(LEAST[form], f"NIN with form={form}")
        self.picture = picture
        layers: list[nn.Module] = []
        fan_in = picture.channels
        for stage in stages:
            widths = tuple(scaled(width, scale) if width else classes for width in stage[-1])
            layers += [nn.MaxPool2d(3, 2, ceil_mode=True), nn.Dropout(dropout)] if layers else []
            layers += [mlpconv(fan_in, widths, stage, norm)]
            fan_in = widths[-1]
        self.layers = nn.Sequential(*layers, whole("mean"))

    def forward(self, x: Tensor) -> Tensor:  # (B, C, H, W) -> (B, classes)
        return self.layers(self.picture(x))
