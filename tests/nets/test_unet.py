"""U-Net: the paper's shapes and weights, any size, and that it learns a mask."""

import weakref
from itertools import pairwise

import pytest
import torch
import torch.nn.functional as F

from dlcli.errors import ConfigError
from dlcli.nets.layers import Picture
from dlcli.nets.unet import UNet, after, fit


def picture(height: int, width: int, channels: int = 1) -> Picture:
    """Return pictures without statistics."""
    return Picture(channels=channels, height=height, width=width)


def test_the_net_of_the_paper():
    with torch.device("meta"):
        net = UNet(picture=picture(572, 572), classes=2, padding="valid")
        assert net(torch.zeros(1, 1, 572, 572)).shape == (1, 2, 388, 388)
    assert sum(p.numel() for p in net.parameters()) == 31_030_658
    layers = [m for m in net.modules() if isinstance(m, (torch.nn.Conv2d, torch.nn.ConvTranspose2d))]
    assert len(layers) == 23


def test_weights_add_up_by_formula():
    w, total = 64, 0
    levels = [w * 2**i for i in range(5)]
    for low, high in pairwise([1, *levels]):
        total += 9 * low * high + high + 9 * high * high + high
    for low, high in pairwise(levels):
        total += 4 * high * low + low + 9 * high * low + low + 9 * low * low + low
    assert total + 2 * w + 2 == 31_030_658


@pytest.mark.parametrize(("height", "width"), [(16, 16), (28, 28), (37, 53), (19, 64)])
def test_same_padding_keeps_any_size(height, width):
    net = UNet(picture=picture(height, width, 3), classes=4, width=4, depth=3, norm="batch")
    assert net(torch.rand(2, 3, height, width)).shape == (2, 4, height, width)


@pytest.mark.parametrize("depth", [0, 1, 2, 3])
def test_valid_padding_needs_and_leaves_what_the_formula_says(depth):
    least = next(size for size in range(1, 200) if after(size, depth) > 0)
    for size in (least, least + 1, least + 9):
        net = UNet(picture=picture(size, size + 3), classes=2, width=2, depth=depth, padding="valid")
        assert net(torch.rand(1, 1, size, size + 3)).shape == (1, 2, after(size, depth), after(size + 3, depth))
    with pytest.raises(ConfigError, match=f"at least {least}x{least}"):
        UNet(picture=picture(least - 1, 200), classes=2, depth=depth, padding="valid")
    assert after(572, 4) == 388


def test_details_are_cut_around_the_middle():
    x = torch.arange(36.0).view(1, 1, 6, 6)
    assert torch.equal(fit(x, torch.zeros(1, 1, 2, 4)), x[..., 2:4, 1:5])
    assert fit(x, torch.zeros(1, 1, 8, 7))[0, 0, 1:7, 0:6].equal(x[0, 0])


@pytest.mark.parametrize("padding", ["same", "valid"])
def test_maps_that_were_joined_take_no_memory_while_the_next_are_made(padding):
    net, maps = UNet(picture=picture(64, 64), classes=2, width=4, depth=2, padding=padding), []
    for layer in (net.down[0], net.lift[-1]):
        layer.register_forward_hook(lambda layer, given, x: maps.append(weakref.ref(x)))
    net.up[-1].register_forward_pre_hook(lambda layer, given: maps.append([one() for one in maps]))
    with torch.no_grad():
        net(torch.zeros(1, 1, 64, 64))
    assert maps[2] == [None, None]


def test_it_learns_to_mark_bright_spots():
    net = UNet(picture=picture(16, 16), classes=2, width=8, depth=2, norm="batch")
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-2)
    x = F.interpolate(torch.rand(16, 1, 4, 4), 16, mode="bilinear")
    y = (x[:, 0] > 0.5).long()
    for _ in range(40):
        optimizer.zero_grad()
        F.cross_entropy(net(x + 0.1 * torch.randn_like(x)), y).backward()
        optimizer.step()
    assert (net.eval()(x).argmax(1) == y).float().mean() > 0.95
