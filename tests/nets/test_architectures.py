"""Nets: numbers of weights worked out by hand, shapes, and what each argument does."""

import pytest
import torch
from torch import nn

from dlcli.errors import ConfigError
from dlcli.nets.cnn import SmallCNN
from dlcli.nets.layers import Picture
from dlcli.nets.lenet import LectureCNN, LeNet5
from dlcli.nets.mlp import MLP, Linear
from dlcli.nets.polynomial import Polynomial, legendre
from dlcli.nets.vae import ConvDecoder, ConvEncoder, Decoder, Encoder


def weights(*modules: nn.Module) -> int:
    """Count the trained numbers."""
    return sum(p.numel() for module in modules for p in module.parameters())


def test_weights_of_fully_connected_nets():
    assert weights(MLP(inputs=20, widths=[10, 10, 10], outputs=1)) == 210 + 110 + 110 + 11 == 441
    assert weights(MLP(inputs=40_000, widths=[500], outputs=200)) == 20_100_700
    assert weights(Linear(inputs=16, outputs=100), Linear(inputs=32, outputs=100)) == 5000


def test_weights_of_kernels():
    first = SmallCNN(picture=Picture(channels=3, height=8, width=8), classes=2, widths=[1]).stages[0][0][0]
    assert first.weight.numel() == 27  # 3x3 over three colours; 28 with a bias
    assert nn.Conv2d(3, 5, 8).weight.numel() == 960
    assert weights(nn.Conv2d(3, 5, 8)) == 965
    assert weights(nn.Conv2d(1, 10, 5)) == 260


def test_weights_of_the_two_lenets():
    size = {"picture": Picture(channels=1, height=28, width=28), "classes": 10}
    assert weights(LeNet5(**size)) == 156 + 2416 + 48120 + 10164 + 850 == 61_706
    lecture = LectureCNN(**size)
    found = [weights(layer) for layer in lecture.layers if weights(layer)]
    assert found == [156, 2416, 48_120, 1210]
    assert weights(lecture) == 51_902


def test_connections_of_the_lectures_net():
    lecture, x, count = (
        LectureCNN(picture=Picture(channels=1, height=28, width=28), classes=10),
        torch.zeros(1, 1, 28, 28),
        [],
    )
    for layer in lecture.layers:
        x = layer(x)
        if weights(layer):
            positions = x[0, 0].numel() if x.dim() == 4 else 1
            count.append(weights(layer) * positions)
        if isinstance(layer, nn.MaxPool2d):
            count.append(x[0].numel() * 4)
    assert count == [122_304, 4704, 241_600, 1600, 48_120, 1210]
    assert sum(count) == 419_538


def test_lenet_is_the_formula_of_its_weights():
    net, pictures = LeNet5(picture=Picture(channels=1, height=32, width=32), classes=10), torch.rand(3, 1, 32, 32)
    first, second, third, fourth, fifth = (layer for layer in net.layers if weights(layer))
    x = nn.functional.max_pool2d(nn.functional.conv2d(pictures, first.weight, first.bias).relu(), 2)
    x = nn.functional.max_pool2d(nn.functional.conv2d(x, second.weight, second.bias).relu(), 2).flatten(1)
    x = ((x @ third.weight.T + third.bias).tanh() @ fourth.weight.T + fourth.bias).tanh()
    torch.testing.assert_close(net(pictures), x @ fifth.weight.T + fifth.bias)


def test_lenet_pads_small_pictures_to_32():
    net = LeNet5(picture=Picture(channels=1, height=28, width=28), classes=10).eval()
    x = torch.rand(2, 1, 28, 28)
    same = LeNet5(picture=Picture(channels=1, height=32, width=32), classes=10).eval()
    same.load_state_dict(net.state_dict())
    torch.testing.assert_close(net(x), same(nn.functional.pad(x, (2, 2, 2, 2))))


@pytest.mark.parametrize(("channels", "height", "width"), [(1, 8, 8), (1, 28, 28), (3, 32, 32), (1, 20, 29)])
def test_convolutional_nets_take_pictures_of_any_size(channels, height, width):
    size = {"picture": Picture(channels=channels, height=height, width=width), "classes": 7}
    nets = [LeNet5(**size), SmallCNN(**size), SmallCNN(**size, depth=2, widths=[4, 8], dropout=0.5)]
    nets += [LectureCNN(**size)] if height >= 12 else []
    for net in nets:
        assert net(torch.rand(2, channels, height, width)).shape == (2, 7)


def test_pictures_too_small_for_a_net_are_refused():
    with pytest.raises(ConfigError, match="at least 12"):
        LectureCNN(picture=Picture(channels=1, height=8, width=8), classes=2)
    with pytest.raises(ConfigError, match="at most 3 entries"):
        SmallCNN(picture=Picture(channels=1, height=8, width=8), classes=2, widths=[4, 4, 4, 4])
    with pytest.raises(ConfigError, match="at most 3 widths"):
        ConvEncoder(channels=1, height=8, width=8, widths=[4] * 4, latent=2)


def test_the_mlp_has_norm_then_activation_then_dropout():
    net = MLP(inputs=4, widths=[8], outputs=2, norm="batch", activation="gated", dropout=0.3, input_dropout=0.2)
    kinds = [type(layer).__name__ for layer in net.layers]
    assert kinds == ["Flatten", "Dropout", "Linear", "BatchNorm1d", "Gated", "Dropout", "Linear"]
    assert [layer.p for layer in net.layers if isinstance(layer, nn.Dropout)] == [0.2, 0.3]


def test_without_activation_layers_collapse_into_one():
    net, x = MLP(inputs=3, widths=[5], outputs=2, activation="identity"), torch.randn(4, 3)
    first, last = net.layers[1], net.layers[-1]
    torch.testing.assert_close(net(x), x @ (last.weight @ first.weight).T + last.weight @ first.bias + last.bias)


def test_a_net_normalizes_its_pixels_itself():
    plain, inside = (MLP(inputs=4, widths=[3], outputs=2, **more) for more in ({}, {"mean": [0.5], "std": [0.25]}))
    inside.layers.load_state_dict(plain.layers.state_dict())
    x = torch.rand(2, 1, 2, 2)
    torch.testing.assert_close(inside(x), plain((x - 0.5) / 0.25))


def test_legendre_features_are_uncorrelated_with_variance_one():
    u = torch.linspace(-1, 1, 20_001, dtype=torch.float64).view(-1, 1)
    features = legendre(u, 6)
    torch.testing.assert_close(features.T @ features / len(u), torch.eye(6, dtype=torch.float64), atol=2e-3, rtol=0)
    torch.testing.assert_close(features[:, 2], 7**0.5 * (5 * u**3 - 3 * u)[:, 0] / 2)


def test_a_polynomial_fits_its_own_degree_exactly_and_no_higher():
    x = torch.linspace(-2, 4, 50, dtype=torch.float64).view(-1, 1)
    y = 1 - 2 * x + 0.5 * x**3
    left = {}
    for degree in (2, 3):
        net = Polynomial(degree=degree, mean=[1.0], std=[1.75]).double()
        features = torch.cat([torch.ones_like(x), legendre(net.normalize(x) / 3**0.5, degree)], 1)
        solution = torch.linalg.lstsq(features, y).solution
        with torch.no_grad():
            net.head.bias.copy_(solution[0])
            net.head.weight.copy_(solution[1:].T)
        left[degree] = (net(x) - y).abs().max().item()
    assert left[3] < 1e-9 < 1 < left[2]


@pytest.mark.parametrize(("channels", "height", "width"), [(1, 8, 8), (1, 28, 28), (3, 32, 32), (1, 21, 30)])
def test_a_decoder_gives_back_the_shape_that_the_encoder_took(channels, height, width):
    size = {"channels": channels, "height": height, "width": width, "widths": [4, 8, 8], "latent": 5}
    x = torch.rand(2, channels, height, width)
    code = ConvEncoder(**size, mean=[0.5] * channels, std=[0.3] * channels)(x)
    assert code.shape == (2, 10)
    assert ConvDecoder(**size)(code[:, :5]).shape == x.shape
    code = Encoder(inputs=x[0].numel(), widths=[16], latent=3)(x)
    assert code.shape == (2, 6)
    assert Decoder(latent=3, widths=[16], shape=x.shape[1:])(code[:, :3]).shape == x.shape


def test_a_decoder_of_tables_gives_rows():
    assert Decoder(latent=2, widths=[], shape=[13])(torch.zeros(4, 2)).shape == (4, 13)
