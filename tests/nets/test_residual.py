"""Residual nets: blocks against functional calls, plain twins, gates at their limits, and depth that trains."""

import pytest
import torch
import torch.nn.functional as F

from dlcli.nets.layers import Picture
from dlcli.nets.resnet import Add, Block, Gate, Highway, Layout, Pad, Plain, ResNet, layout

BASIC, PADDED = Layout((1,), (4,)), Layout((1,), (4,), padded=True)
DEEP = Layout((1,), (4,), bottleneck=True)


def block(plan=BASIC, fan_in=4, width=4, stride=1, shortcut="add", preactivation=False, normal="batch") -> Block:
    """Return a block whose norms do something."""
    options = {"shortcut": shortcut, "preactivation": preactivation, "normal": normal}
    made = Block(fan_in=fan_in, width=width, stride=stride, plan=plan, **options).eval()
    for p in made.parameters():
        torch.nn.init.normal_(p, std=0.5)
    return made


def normalized(x, layer):
    return F.batch_norm(x, layer.running_mean, layer.running_var, layer.weight, layer.bias, eps=layer.eps)


def test_a_basic_block_is_its_formula():
    made, x = block(fan_in=2, stride=2), torch.randn(3, 2, 6, 6)
    first, norm1, _, second, norm2 = made.branch
    branch = normalized(F.conv2d(x, first.weight, stride=2, padding=1), norm1).relu()
    branch = normalized(F.conv2d(branch, second.weight, padding=1), norm2)
    skip = normalized(F.conv2d(x, made.skip[0].weight, stride=2), made.skip[1])
    torch.testing.assert_close(made(x), (skip + branch).relu())


def test_a_bottleneck_is_its_formula():
    made, x = block(plan=DEEP, fan_in=16), torch.randn(3, 16, 5, 5)
    a, norm_a, _, b, norm_b, _, c, norm_c = made.branch
    branch = normalized(F.conv2d(x, a.weight), norm_a).relu()
    branch = normalized(F.conv2d(branch, b.weight, padding=1), norm_b).relu()
    branch = normalized(F.conv2d(branch, c.weight), norm_c)
    torch.testing.assert_close(made(x), (x + branch).relu())


def test_preactivation_leaves_the_sum_alone():
    made, x = block(preactivation=True), torch.randn(3, 4, 6, 6)
    norm1, _, first, norm2, _, second = made.branch
    branch = F.conv2d(normalized(x, norm1).relu(), first.weight, padding=1)
    branch = F.conv2d(normalized(branch, norm2).relu(), second.weight, padding=1)
    torch.testing.assert_close(made(x), x + branch)


def test_where_the_shape_changes_preactivation_is_shared_by_both_ways():
    made, x = block(fan_in=2, stride=2, preactivation=True), torch.randn(3, 2, 6, 6)
    active = normalized(x, made.first[0]).relu()
    torch.testing.assert_close(made(x), F.conv2d(active, made.skip[0].weight, stride=2) + made.branch(active))


def test_a_residual_block_with_zero_weights_is_the_identity():
    x = torch.rand(2, 4, 5, 5)
    for preactivation in (False, True):
        made = block(preactivation=preactivation)
        for p in made.parameters():
            torch.nn.init.zeros_(p)
        torch.testing.assert_close(made(x), x)


def test_option_a_thins_out_and_fills_up_with_zeros():
    x = torch.rand(2, 3, 5, 7)
    y = Pad(stride=2, extra=2)(x)
    assert y.shape == (2, 5, 3, 4)
    assert torch.equal(y[:, :3], x[:, :, ::2, ::2])
    assert not y[:, 3:].any()
    assert not list(block(plan=PADDED, fan_in=2, stride=2).skip.parameters())


def test_shortcuts_are_their_formulas():
    x, branch = torch.randn(2, 4, 3, 3), torch.randn(2, 4, 3, 3)
    torch.testing.assert_close(Add()(x, branch), x + branch)
    torch.testing.assert_close(Plain()(x, branch), branch)
    torch.testing.assert_close(Gate()(x, branch), x * x.sigmoid() + branch)
    highway = Highway(width=4)
    g = (F.conv2d(x, highway.gate.weight, highway.gate.bias) - 2).sigmoid()
    torch.testing.assert_close(highway(x, branch), (1 - g) * x + g * branch)
    torch.nn.init.zeros_(highway.gate.weight)
    for bias, limit in ((-50, x), (50, branch)):
        torch.nn.init.constant_(highway.gate.bias, bias)
        torch.testing.assert_close(highway(x, branch), limit)


def test_the_plain_twin_has_as_many_weights_under_option_a():
    size = Picture(channels=3, height=32, width=32)
    with torch.device("meta"):
        count = {
            shortcut: sum(p.numel() for p in ResNet(picture=size, classes=10, shortcut=shortcut).parameters())
            for shortcut in ("add", "none", "gate", "highway")
        }
    assert count["add"] == count["none"] == count["gate"] == 269_722
    assert count["highway"] == 269_722 + 3 * (16 * 17 + 32 * 33 + 64 * 65)


@pytest.mark.parametrize(("depth", "blocks"), [(8, 1), (20, 3), (32, 5), (44, 7), (56, 9), (110, 18)])
def test_depths_of_the_cifar_nets(depth, blocks):
    assert layout(depth).blocks == (blocks,) * 3
    assert 6 * blocks + 2 == depth


@pytest.mark.parametrize("depth", [18, 34, 50, 101, 152])
def test_depths_of_the_imagenet_nets_count_their_layers(depth):
    plan = layout(depth)
    assert sum(plan.blocks) * (3 if plan.bottleneck else 2) + 2 == depth


def gradient(shortcut: str, depth: int) -> float:
    """Return the gradient's length at the first layer over that at the last convolution, without norms."""
    torch.manual_seed(0)
    size = Picture(channels=1, height=8, width=8)
    net = ResNet(picture=size, classes=4, depth=depth, shortcut=shortcut, norm="none", scale=0.5)
    F.cross_entropy(net(torch.rand(16, 1, 8, 8)), torch.arange(16) % 4).backward()
    first, *_, last = (m for m in net.modules() if isinstance(m, torch.nn.Conv2d) and m.kernel_size == (3, 3))
    return (first.weight.grad.norm() / last.weight.grad.norm()).item()


def test_gradients_vanish_in_the_deep_plain_net_and_not_in_the_residual_one():
    assert gradient("none", 56) < 1e-6
    assert gradient("add", 56) > 0.1
    assert gradient("highway", 56) > 0.1
