"""Convolutions and pooling: sizes by the lectures' formulas, kinds against torch, and what they see."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from dlcli.errors import ConfigError
from dlcli.nets.convolutions import CONVOLUTION, TRANSPOSED, Causal, Separable, convolution
from dlcli.nets.layers import Instance, groups, norm, scaled
from dlcli.nets.pooling import MAX, POOLINGS, Trainable, pooling, whole


def after(i: int, k: int, s: int = 1, p: int = 0, d: int = 1) -> int:
    """Return the size after a convolution or pooling."""
    return (i + 2 * p - d * (k - 1) - 1) // s + 1


def lifted(i: int, k: int, s: int = 1, p: int = 0, q: int = 0, d: int = 1) -> int:
    """Return the size after a transposed convolution."""
    return (i - 1) * s + d * (k - 1) - 2 * p + q + 1


@pytest.mark.parametrize(
    ("i", "k", "s", "p", "o"),
    [(4, 3, 1, 0, 2), (5, 4, 1, 2, 6), (5, 3, 1, 1, 5), (5, 3, 2, 0, 2), (6, 3, 2, 1, 3), (5, 3, 1, 2, 7)],
)
def test_sizes_of_the_lectures_convolutions(i, k, s, p, o):
    assert after(i, k, s, p) == o
    assert CONVOLUTION[2](1, 1, k, s, p)(torch.zeros(1, 1, i, i)).shape == (1, 1, o, o)


@pytest.mark.parametrize("dims", [1, 2, 3])
def test_sizes_by_formula_for_all_numbers(dims):
    with torch.device("meta"):
        for i in (5, 8):
            x = torch.zeros(1, 1, *[i] * dims)
            for k in (1, 2, 3, 5):
                for s in (1, 2, 3):
                    for p in (0, 1):
                        for d in (1, 2):
                            if (o := after(i, k, s, p, d)) > 0:
                                assert CONVOLUTION[dims](1, 1, k, s, p, d)(x).shape[2:] == (o,) * dims
                            for q in range(max(s, d)):
                                if (o := lifted(i, k, s, p, q, d)) > 0:
                                    made = TRANSPOSED[dims](1, 1, k, s, p, q, dilation=d)
                                    assert made(x).shape[2:] == (o,) * dims
                    if i >= k:
                        assert MAX[dims](k, s)(x).shape[2:] == (after(i, k, s),) * dims


def test_shapes_of_the_lectures_transposed_convolutions():
    with torch.device("meta"):
        x = torch.zeros(2, 8, 64, 64)
        down = nn.Conv2d(8, 8, 5)(x)
        assert down.shape == (2, 8, 60, 60)
        assert nn.ConvTranspose2d(8, 8, 5)(down).shape == x.shape
        x = torch.zeros(32, 16, 64, 64)
        for stride, extra, size in ((1, 0, 64), (2, 0, 127), (2, 1, 128)):
            made = nn.ConvTranspose2d(16, 8, 5, stride, 2, extra)
            assert made(x).shape == (32, 8, size, size)
            assert lifted(64, 5, stride, 2, extra) == size
        assert {after(7, 3, 2), after(8, 3, 2)} == {3}  # two sizes convolve to the same
        assert [lifted(3, 3, 2, q=q) for q in (0, 1)] == [7, 8]
        sizes = [28, after(28, 3, 2, 1), after(14, 3, 2, 1), after(7, 7)]
        assert sizes == [28, 14, 7, 1]
        assert [lifted(1, 7), lifted(7, 3, 2, 1, 1), lifted(14, 3, 2, 1, 1)] == [7, 14, 28]


@pytest.mark.parametrize("dims", [1, 2, 3])
@pytest.mark.parametrize("dilation", [1, 2])
@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("kernel", [1, 2, 3, 4, 5])
def test_named_convolutions_keep_divide_or_multiply_the_size(dims, kernel, stride, dilation):
    x, keeps = torch.rand(2, 4, *[6] * dims), stride > 1 or dilation * (kernel - 1) % 2 == 0
    for name in (*(["full", "separable"] if keeps else []), "pointwise", *(["causal"] if dims == 1 else [])):
        made = convolution(name, 4, 5, kernel=kernel, stride=stride, dilation=dilation, dims=dims)
        assert made(x).shape == (2, 5, *[6 // stride] * dims), name
    if keeps:
        made = convolution("transposed", 4, 5, kernel=kernel, stride=stride, dilation=dilation, dims=dims)
        assert made(x).shape == (2, 5, *[6 * stride] * dims)


def test_a_causal_convolution_never_looks_ahead():
    layer, x = Causal(2, 3, 3, dilation=2), torch.randn(1, 2, 20, requires_grad=True)
    (slope,) = torch.autograd.grad(layer(x)[0, :, 9].sum(), x)
    assert slope[0].abs().sum(0).nonzero().flatten().tolist() == [5, 7, 9]
    with pytest.raises(ConfigError, match="dims=2 has no past"):
        convolution("causal", 1, 1, dims=2)


def test_a_separable_convolution_is_one_full_convolution_of_rank_one_kernels():
    layer, x = Separable(fan_in=4, fan_out=6), torch.randn(2, 4, 7, 7)
    depthwise, mixing = layer
    kernel = mixing.weight * depthwise.weight.transpose(0, 1)  # (6, 4, 3, 3)
    torch.testing.assert_close(layer(x), F.conv2d(x, kernel, mixing.bias, padding=1))
    assert sum(p.numel() for p in layer.parameters()) == 4 * 9 + 4 * 6 + 6


def test_a_pointwise_convolution_is_a_linear_layer_at_each_place():
    layer, x = convolution("pointwise", 4, 6), torch.randn(2, 4, 5, 5)
    expected = F.linear(x.movedim(1, -1), layer.weight[:, :, 0, 0], layer.bias).movedim(-1, 1)
    torch.testing.assert_close(layer(x), expected)


def test_a_transposed_convolution_is_the_gradient_of_a_convolution():
    layer = convolution("transposed", 3, 2, stride=2)
    x, small = torch.randn(1, 2, 8, 8, requires_grad=True), torch.randn(1, 3, 4, 4)
    y = F.conv2d(x, layer.weight, stride=2, padding=1)
    (slope,) = torch.autograd.grad(y, x, small)
    torch.testing.assert_close(layer(small), slope + layer.bias.view(1, -1, 1, 1))


def test_convolution_moves_with_the_picture_and_pooling_forgets_small_moves():
    layer, x = convolution("full", 1, 4), torch.zeros(1, 1, 16, 16)
    x[..., 4:8, 4:8] = torch.rand(4, 4)
    torch.testing.assert_close(layer(x.roll(3, -1)), layer(x).roll(3, -1))
    torch.testing.assert_close(whole("max")(layer(x.roll(3, -1))), whole("max")(layer(x)))


@pytest.mark.parametrize("dims", [1, 2, 3])
@pytest.mark.parametrize("name", POOLINGS)
def test_poolings_halve(name, dims):
    x = torch.rand(2, 3, *[8] * dims)
    assert pooling(name, 3, dims)(x).shape == (2, 3, *[8 if name == "none" else 4] * dims)


def test_poolings_are_their_formulas():
    x = torch.randn(2, 3, 6, 6)
    windows = x.unfold(2, 2, 2).unfold(3, 2, 2).flatten(-2)
    torch.testing.assert_close(pooling("max", 3)(x), windows.amax(-1))
    torch.testing.assert_close(pooling("mean", 3)(x), windows.mean(-1))
    torch.testing.assert_close(pooling("sum", 3)(x), windows.sum(-1))
    torch.testing.assert_close(pooling("l2", 3)(x), windows.norm(dim=-1))
    torch.testing.assert_close(whole("mean")(x), x.mean((2, 3)))
    torch.testing.assert_close(whole("max")(x), x.amax((2, 3)))


def test_l2_pooling_of_nothing_has_a_finite_gradient():
    x = torch.zeros(1, 1, 4, 4, requires_grad=True)
    pooling("l2", 1)(x).sum().backward()
    assert not x.grad.any()


def test_overlapping_pooling_of_the_lectures():
    grid = torch.tensor([[3, 3, 2, 1, 0], [0, 0, 1, 3, 1], [3, 1, 2, 2, 3], [2, 0, 0, 2, 2], [2, 0, 0, 0, 1.0]])
    assert F.max_pool2d(grid.view(1, 1, 5, 5), 3, 1)[0, 0].tolist() == [[3, 3, 3], [3, 3, 3], [3, 2, 3]]
    assert pooling("overlapping", 1)(grid.view(1, 1, 5, 5))[0, 0].tolist() == [[3, 3, 3], [3, 3, 3], [2, 2, 2]]


def test_trainable_pooling_has_two_weights_per_map_and_starts_as_the_mean():
    layer, x = Trainable(channels=6, activation=nn.Identity()), torch.randn(2, 6, 28, 28)
    assert sum(p.numel() for p in layer.parameters()) == 12
    torch.testing.assert_close(layer(x), F.avg_pool2d(x, 2))


def test_a_misspelt_pooling_or_convolution_gets_the_nearest_one():
    with pytest.raises(ConfigError, match="unknown pooling 'man': did you mean"):
        pooling("man", 1)
    with pytest.raises(ConfigError, match="unknown convolution 'fulll': did you mean 'full'"):
        convolution("fulll", 1, 1)
    with pytest.raises(ConfigError, match="1, 2 or 3 dimensions"):
        convolution("full", 1, 1, dims=4)
    for name in ("full", "separable", "transposed"):
        with pytest.raises(ConfigError, match="convolution with kernel=4 cannot keep the size; take an odd kernel"):
            convolution(name, 1, 1, kernel=4)


def test_group_and_instance_norm_are_their_formulas():
    for shape in ((4, 8, 6), (4, 8, 5, 5), (4, 8, 3, 3, 3)):
        x, dims = 2 + 3 * torch.randn(shape), len(shape) - 2
        groups_of_two = x.reshape(4, 4, -1)
        for name, parts in (("group", groups_of_two), ("instance", x.reshape(4, 8, -1))):
            expected = (parts - parts.mean(-1, keepdim=True)) / parts.std(-1, correction=0, keepdim=True)
            torch.testing.assert_close(norm(name, 8, dims)(x), expected.reshape(shape), atol=1e-4, rtol=1e-4)
    assert [groups(channels) for channels in (3, 8, 16, 64, 512)] == [1, 4, 8, 32, 32]
    with pytest.raises(ConfigError, match="a table has none"):
        Instance(channels=3)(torch.rand(4, 3))
    assert norm("batch", 4, 3)(torch.rand(2, 4, 3, 3, 3)).shape == (2, 4, 3, 3, 3)


def test_scaled_widths_are_multiples_of_eight():
    assert [scaled(728, s) for s in (1.0, 0.25, 0.001)] == [728, 184, 8]
