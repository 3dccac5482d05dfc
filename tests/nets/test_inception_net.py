"""Inception-v3 against what is published of it: weights, names, shapes, and how its pictures are scaled."""

import pytest
import torch
import torch.nn.functional as F

from dlcli.nets.inception import Inception, Mixed, scaled

ROUTES = {
    "Mixed_5b": ("1x1", "5x5_1", "5x5_2", "3x3dbl_1", "3x3dbl_2", "3x3dbl_3", "_pool"),
    "Mixed_6a": ("3x3", "3x3dbl_1", "3x3dbl_2", "3x3dbl_3"),
    "Mixed_6e": ("1x1", *(f"7x7_{i}" for i in (1, 2, 3)), *(f"7x7dbl_{i}" for i in (1, 2, 3, 4, 5)), "_pool"),
    "Mixed_7a": ("3x3_1", "3x3_2", *(f"7x7x3_{i}" for i in (1, 2, 3, 4))),
    "Mixed_7c": (*("1x1", "3x3_1", "3x3_2a", "3x3_2b", "3x3dbl_1", "3x3dbl_2", "3x3dbl_3a", "3x3dbl_3b", "_pool"),),
}
MAPS = {  # maps and side behind each block, table 1 of the paper
    **{"Mixed_5b": (256, 35), "Mixed_5d": (288, 35), "Mixed_6a": (768, 17), "Mixed_6e": (768, 17)},
    **{"Mixed_7a": (1280, 8), "Mixed_7b": (2048, 8), "Mixed_7c": (2048, 8)},
}


@pytest.fixture(scope="module")
def net() -> Inception:
    return Inception().eval()


def test_weights_are_as_many_as_published_and_called_as_in_the_port(net):
    # Keras states 21,768,352 for Inception-v3 without its last layer, and has no factors in its 17,216 norms
    assert sum(weight.numel() for weight in net.parameters()) == 21_768_352 + 17_216
    assert sum(isinstance(module, torch.nn.Conv2d) for module in net.modules()) == 94
    names = set(net.state_dict())
    for block, routes in ROUTES.items():
        units = {name.split(".")[1] for name in names if name.startswith(block)}
        assert units == {f"branch{route}" for route in routes}
    parts = {name.split(".", 1)[1] for name in names if name.startswith("Conv2d_1a_3x3")}
    assert parts == {"conv.weight", *(f"bn.{x}" for x in ("weight", "bias", "running_mean", "running_var"))} | {
        "bn.num_batches_tracked"
    }
    shapes = {name: tuple(value.shape) for name, value in net.state_dict().items()}
    assert shapes["Conv2d_1a_3x3.conv.weight"] == (32, 3, 3, 3)
    assert shapes["Mixed_6c.branch7x7dbl_2.conv.weight"] == (160, 160, 7, 1)
    assert shapes["Mixed_6c.branch7x7_3.conv.weight"] == (192, 160, 7, 1)
    assert shapes["Mixed_7c.branch3x3dbl_3b.conv.weight"] == (384, 384, 3, 1)
    assert shapes["Mixed_7b.branch_pool.bn.running_var"] == (192,)


def test_maps_are_as_many_and_as_large_as_published(net):
    found = {}
    for name, block in net.named_children():
        block.register_forward_hook(lambda _, given, made, name=name: found.update({name: made.shape}))
    with torch.no_grad():
        assert net(torch.rand(1, 1, 20, 30)).shape == (1, 2048)
    assert {name: tuple(found[name][1:]) for name in MAPS} == {name: (m, s, s) for name, (m, s) in MAPS.items()}


@torch.no_grad()
def test_a_block_by_hand():
    x = torch.randn(2, 4, 7, 7)
    fork = [("a_2a", 2, (1, 3)), ("a_2b", 2, (3, 1))]
    block = Mixed(4, [("one", 3, 1)], [("a_1", 5, 1), fork], pooled=2).eval()
    inner = block.a_1(x)
    average = F.avg_pool2d(F.pad(x, [1] * 4), 3, 1) * 9 / F.avg_pool2d(F.pad(torch.ones_like(x), [1] * 4), 3, 1) / 9
    by_hand = torch.cat([block.one(x), block.a_2a(inner), block.a_2b(inner), block.branch_pool(average)], 1)
    assert torch.allclose(block(x), by_hand, atol=1e-6)
    assert torch.allclose(block.one(x), (block.one.conv(x) / 1.001**0.5).clamp(min=0), atol=1e-6)  # as norms begin
    largest = Mixed(4, [("one", 3, 1)], pool="largest", pooled=2).eval()
    assert torch.allclose(largest(x)[:, 3:], largest.branch_pool(F.max_pool2d(x, 3, 1, 1)))
    halved = Mixed(4, [("one", 3, 1), ("two", 5, 3)], pool="halve").eval()(x)
    assert halved.shape == (2, 9, 3, 3)
    assert torch.equal(halved[:, 5:], F.max_pool2d(x, 3, 2))


def test_pictures_are_scaled_from_their_edge_as_tensorflow_did():
    x = torch.rand(2, 3, 5, 8)
    bytes_of = (255 * x).round()
    found = scaled(x, 7)
    for row, column in ((0, 0), (3, 2), (6, 6)):
        down, across = row * 5 / 7, column * 8 / 7
        top, left = int(down), int(across)
        below, right = min(top + 1, 4), min(left + 1, 7)
        a, b = down - top, across - left
        upper = (1 - b) * bytes_of[..., top, left] + b * bytes_of[..., top, right]
        lower = (1 - b) * bytes_of[..., below, left] + b * bytes_of[..., below, right]
        assert torch.allclose(found[..., row, column], ((1 - a) * upper + a * lower - 128) / 128, atol=1e-5)
    assert torch.equal(scaled(x, 5)[..., :1], (bytes_of[..., :1] - 128) / 128)
    assert scaled(torch.zeros(1, 1, 4, 4), 9).unique().tolist() == [-1]
