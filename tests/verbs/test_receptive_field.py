"""Receptive fields: published numbers, the formula by hand, and the gradient as a second route."""

import pytest
import torch
from torch import nn

from dlcli.nets.alexnet import AlexNet
from dlcli.nets.blocks import Blocks, Parts
from dlcli.nets.googlenet import GoogLeNet
from dlcli.nets.layers import Picture
from dlcli.nets.resnet import Block, ResNet
from dlcli.nets.unet import UNet
from dlcli.nets.vgg import VGG
from dlcli.verbs.field import Field, Watch
from dlcli.verbs.layers import layers


def fields(net: nn.Module, x: torch.Tensor, kind: type) -> list[Field | None]:
    """Return the fields of all layers of a kind, in the order of their calls."""
    watch, seen = Watch(x), []
    for module in net.modules():
        if isinstance(module, kind):
            module.register_forward_hook(lambda m, given, result: seen.append(watch.of(result)))
    with torch.no_grad(), watch:
        net.eval()(x)
    return seen


def picture(size: int, channels: int = 3) -> Picture:
    """Return square pictures without statistics."""
    return Picture(channels=channels, height=size, width=size)


def sizes(found: list[Field | None]) -> list[float | None]:
    """Return the size of each field along its first side."""
    return [field and field.size[0] for field in found]


def test_fields_of_vgg16():
    with torch.device("meta"):
        net, x = VGG(picture=picture(224), classes=2), torch.zeros(1, 3, 224, 224)
        found = sizes(fields(net, x, nn.Conv2d))
        assert found == [3, 5, 10, 14, 24, 32, 40, 60, 76, 92, 132, 164, 196]
        pools = fields(net, x, nn.MaxPool2d)
    assert str(pools[-1]) == "212 / 32"


def test_fields_of_alexnet():
    with torch.device("meta"):
        net, x = AlexNet(picture=picture(224), classes=2), torch.zeros(1, 3, 224, 224)
        assert sizes(fields(net, x, nn.Conv2d)) == [11, 51, 99, 131, 163]
        assert str(fields(net, x, nn.MaxPool2d)[-1]) == "195 / 32"
        assert set(sizes(fields(net, x, nn.Linear))) == {None}


def test_the_largest_branch_counts():
    with torch.device("meta"):
        net, x = GoogLeNet(picture=picture(32), classes=2, form="small", scale=0.1), torch.zeros(1, 3, 32, 32)
        found = dict(zip(net.inceptions, sizes(fields(net, x, type(net.inceptions["3a"]))), strict=True))
    assert (found["3a"], found["3b"]) == (3 + 2 + 4 * 2, 3 + 2 + 2 * 4 * 2)
    with torch.device("meta"):
        net, x = ResNet(picture=picture(32), classes=2, depth=20), torch.zeros(1, 3, 32, 32)
        assert str(fields(net, x, Block)[-1]) == "81 / 4"  # 3 + 12, 2 + 5 * 4, 4 + 5 * 8


def by_gradient(net: nn.Module, x: torch.Tensor) -> tuple[int, ...]:
    """Return the height and width of what the middle place of the last map depends on."""
    x = x.double().requires_grad_()
    y = net.double()(x)
    middle = tuple(size // 2 for size in y.shape[2:])
    (slope,) = torch.autograd.grad(y[(0, slice(None), *middle)].sum(), x)
    reached = slope[0].abs().sum(0).nonzero()
    return tuple((reached.amax(0) - reached.amin(0) + 1).tolist())


@pytest.mark.parametrize(
    "net",
    [
        nn.Sequential(nn.Conv2d(1, 2, 5), nn.AvgPool2d(2), nn.Conv2d(2, 2, 3)),
        nn.Sequential(nn.Conv2d(1, 2, 3, 2, 1), nn.Conv2d(2, 2, 3, dilation=2), nn.Conv2d(2, 1, (1, 5))),
        nn.Sequential(nn.AvgPool2d(3, 2), nn.BatchNorm2d(1).eval(), nn.SiLU(), nn.Conv2d(1, 3, 3, 3)),
    ],
)
def test_fields_agree_with_gradients(net):
    x = torch.randn(1, 1, 40, 40)
    watch = Watch(x)
    with torch.no_grad(), watch:
        field = watch.of(net(x))
    assert field.size == by_gradient(net, x)


def test_the_way_up_of_a_unet():
    with torch.device("meta"):
        net = UNet(picture=picture(64, 1), classes=2, width=2, depth=2)
        found = fields(net, torch.zeros(1, 1, 64, 64), nn.ConvTranspose2d)
    # 1 +2 +2 =5; pool 6, +4 +4 = 14; pool 16, +8 +8 = 32; up: kernel 2 of stride 2 sees no further
    assert [str(field) for field in found] == ["32 / 2", "40 / 1"]


def test_signals_have_fields_and_tables_have_none():
    net = Blocks(
        channels=1, classes=2, widths=[2, 2, 2], parts=Parts(dims=1, convolution="causal", dilation=2, pooling="none")
    )
    assert sizes(fields(net, torch.zeros(1, 1, 64), nn.Conv1d)) == [3, 7, 15]
    net = Blocks(channels=1, classes=2, widths=[2, 2], parts=Parts(dims=1, pooling="max"))
    assert sizes(fields(net, torch.zeros(1, 1, 64), nn.Conv1d)) == [3, 8]
    assert fields(nn.Linear(3, 2), torch.zeros(4, 3), nn.Linear) == [None]


def test_what_mixes_all_places_ends_the_table_of_fields():
    class Mixing(nn.Module):
        def __init__(self):
            super().__init__()
            self.before, self.after = nn.Conv2d(1, 2, 3, padding=1), nn.Conv2d(2, 2, 3, padding=1)

        def forward(self, x):
            x = self.before(x)
            return self.after(x + (x @ x.transpose(2, 3)))

    assert sizes(fields(Mixing(), torch.zeros(1, 1, 8, 8), nn.Conv2d)) == [3, None]


def test_show_has_the_column_for_pictures_alone(dl):
    code, out, _ = dl("show", "model=lenet_lecture")
    assert code == 0
    assert "sees / jump" in out
    rows = {line.split()[0]: line for line in out.splitlines() if line.startswith(" net.layers")}
    assert "5 / 1" in rows["net.layers.0"]
    assert "16 / 4" in rows["net.layers.5"]
    assert "sees / jump" not in dl("show", "model=mlp", "data=iris")[1]


def test_layers_that_only_training_uses_are_counted():
    node = {
        "_target_": "dlcli.models.auxiliary.AuxiliaryClassifier",
        "classes": 2,
        "net": {
            "_target_": "dlcli.nets.googlenet.GoogLeNet", "classes": 2, "form": "small", "scale": 0.1,
            "picture": {"_target_": "dlcli.nets.layers.Picture", "channels": 1, "height": 16, "width": 16},
        },
    }  # fmt: skip
    rows = layers(node, {"kind": "images", "channels": 1, "height": 16, "width": 16, "classes": 2})
    training = [row for row in rows if row.kind.endswith("(training)")]
    assert {row.name.split(".")[2] for row in training} == {"4a", "4d"}
    assert {row.connections for row in training} == {0}
