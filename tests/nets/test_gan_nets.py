"""Nets of GANs: the lecture's counts, shapes, what critics are told, spectral norm, variety, reversal."""

import pytest
import torch
from torch import nn
from torch.nn.utils.parametrize import is_parametrized

from dlcli.errors import ConfigError
from dlcli.nets.dcgan import ConvCritic, ConvEncoder, ConvGenerator, sides_of
from dlcli.nets.gan import Generator, MLPCritic, Rebuilder, Variety
from dlcli.nets.layers import Picture
from dlcli.nets.resgan import Block, ResCritic, ResGenerator
from dlcli.nets.reversal import Reversal


def count(net: nn.Module) -> int:
    """Return the number of weights."""
    return sum(p.numel() for p in net.parameters())


def picture(height=28, width=28, channels=1) -> Picture:
    """Return pictures without statistics."""
    return Picture(channels=channels, height=height, width=width)


def test_the_pair_of_the_lectures():
    critic = MLPCritic(inputs=784, widths=[300, 100])
    generator = Generator(inputs=[100], widths=[300], shape=[1, 28, 28])
    assert (count(critic), count(generator)) == (265_701, 266_284)
    slopes = [
        layer.negative_slope
        for net in (critic, generator)
        for layer in net.modules()
        if hasattr(layer, "negative_slope")
    ]
    assert slopes == [0.2] * 3
    pictures = generator(torch.randn(5, 100))
    assert pictures.shape == (5, 1, 28, 28)
    assert 0 <= pictures.min() <= pictures.max() <= 1
    assert critic(pictures).shape == (5, 1)
    assert critic.features(pictures).shape == (5, 100)


@pytest.mark.parametrize(("height", "width", "channels", "last"), [
    (28, 28, 1, (7, 7)), (32, 32, 3, (4, 4)), (64, 64, 3, (4, 4)), (20, 28, 1, (5, 7)), (6, 6, 1, (3, 3)),
])  # fmt: skip
def test_convolutional_pairs_of_any_size_that_can_be_halved(height, width, channels, last):
    rows, columns = sides_of(height, width)
    assert (rows[-1], columns[-1]) == last
    z, shape = torch.randn(3, 10), [channels, height, width]
    for generator in (
        ConvGenerator(inputs=[7, 3], shape=shape, width=4),
        ResGenerator(inputs=[7, 3], shape=shape, width=4),
    ):
        made = generator(z)
        assert made.shape == (3, *shape)
        assert 0 <= made.min() <= made.max() <= 1
        for critic in (ConvCritic, ResCritic):
            net = critic(picture=picture(height, width, channels), width=4, answers=[2, 3])
            assert net(made).shape == (3, 6)


def test_an_encoder_and_a_generator_are_an_autoencoder():
    encoder = ConvEncoder(picture=picture(), latent=5, width=4)
    decoder = ConvGenerator(inputs=[5], shape=[1, 28, 28], width=4, output="identity")
    net, x = Rebuilder(encoder=encoder, decoder=decoder), torch.rand(30, 1, 28, 28)
    codes = net.features(x)
    assert codes.shape == (30, 5)
    assert codes.std(0).tolist() == pytest.approx([1] * 5, abs=0.1)  # the codes have a norm too
    assert torch.equal(net.eval()(x), decoder(encoder(x)).sigmoid())
    assert count(encoder) == 16 * 4 + 4 + 16 * 4 * 8 + 8 + 2 * 8 + 7 * 7 * 8 * 5 + 5 + 2 * 5


@pytest.mark.parametrize("side", [5, 7, 4])
def test_pictures_that_cannot_be_halved(side):
    with pytest.raises(ConfigError, match=f"{side}x{side} cannot be halved"):
        ConvCritic(picture=picture(side, side), width=4)


def test_the_nets_of_the_large_comparison():
    """The nets of InfoGAN in Lucic et al.: 1024 - 128 x 7 x 7 - 64 x 14 x 14 - 28 x 28, norms but at the picture."""
    generator = ConvGenerator(inputs=[64], shape=[1, 28, 28], width=64, hidden=1024)
    norms = 2 * (1024 + 128 + 64)
    assert count(generator) == 64 * 1024 + 1024 + 1024 * 6272 + 6272 + 128 * 64 * 16 + 64 + 64 * 16 + 1 + norms
    critic = ConvCritic(picture=picture(), width=64, hidden=1024)
    assert count(critic) == 16 * 64 + 64 + 64 * 128 * 16 + 128 + 6272 * 1024 + 1024 + 1024 + 1 + 2 * (128 + 1024)
    weights = [p.detach() for p in [*generator.parameters(), *critic.parameters()] if p.dim() > 1 and p.numel() > 1000]
    assert all(w.std().item() == pytest.approx(0.02, rel=0.1) for w in weights)


def test_the_residual_nets_of_spectral_normalization():
    """Table 4 of Miyato et al., 32 x 32 pixels in colour: 256 maps in the generator, 128 in the critic."""
    generator = ResGenerator(inputs=[128], shape=[3, 32, 32])
    convolution, skip = 256 * 256 * 9 + 256, 256 * 256 + 256
    block = 2 * (convolution + 2 * 256) + skip
    assert count(generator) == 128 * 4096 + 4096 + 3 * block + 2 * 256 + 256 * 3 * 9 + 3
    critic = ResCritic(picture=picture(32, 32, 3), norm="spectral")
    convolution, skip = 128 * 128 * 9 + 128, 128 * 128 + 128
    first = 3 * 128 * 9 + 128 + convolution + 3 * 128 + 128
    assert count(critic) == first + 2 * convolution + skip + 2 * 2 * convolution + 128 + 1
    layers = [layer for layer in critic.modules() if isinstance(layer, nn.Linear | nn.Conv2d)]
    assert len(layers) == 8 + 2 + 1
    assert all(map(is_parametrized, layers))


def doubled(x: torch.Tensor) -> torch.Tensor:
    """Return maps of twice the height and width."""
    return x.repeat_interleave(2, 2).repeat_interleave(2, 3)


@pytest.mark.parametrize(("factor", "fan_in"), [(2, 6), (0.5, 6), (0.5, 4), (1, 4), (1, 6)])
def test_a_residual_block_by_its_definition(factor, fan_in):
    """By definition the shortcut is resized before its convolution; the block turns that round where it is cheaper."""
    block, x = Block(fan_in=fan_in, fan_out=4, factor=factor, norm="batch"), torch.randn(3, fan_in, 8, 8)
    first = doubled if factor == 2 else nn.Identity()
    last = nn.AvgPool2d(2) if factor == 0.5 else nn.Identity()
    expected = last(block.outer(block.inner(first(block.before(x))))) + block.skip(last(first(x)))
    assert block(x).shape == (3, 4, 8 * factor, 8 * factor)
    assert torch.allclose(block(x), expected, atol=1e-5)
    assert isinstance(block.skip, nn.Identity) is (factor == 1 and fan_in == 4)


@pytest.mark.parametrize("kind", ["mlp", "conv", "residual"])
@pytest.mark.parametrize("projection", [False, True])
def test_a_critic_hears_what_it_is_told(kind, projection):
    options = {"classes": 4, "projection": projection}
    critic = {
        "mlp": lambda: MLPCritic(inputs=64, widths=[16], **options),
        "conv": lambda: ConvCritic(picture=picture(8, 8), width=8, norm="none", **options),
        "residual": lambda: ResCritic(picture=picture(8, 8), width=8, **options),
    }[kind]()
    x, told = torch.rand(4, 1, 8, 8), torch.eye(4)
    before = critic(x, told)
    assert not torch.allclose(before, critic(x, told.roll(1, 0)), atol=1e-7)
    assert torch.equal(before, critic(x, told))
    assert (critic.features(x, told).equal(critic.features(x, told.roll(1, 0)))) is projection


def test_projection_is_an_inner_product():
    critic = MLPCritic(inputs=6, widths=[5], classes=3, projection=True, answers=[2])
    x, told = torch.rand(3, 6), torch.eye(3)
    h = critic.features(x)
    bare = h @ critic.head.weight.T + critic.head.bias
    assert torch.allclose(critic(x, told)[:, 0], bare[:, 0] + (critic.match.weight.T * h).sum(1), atol=1e-6)
    assert torch.allclose(critic(x, told)[:, 1:], bare[:, 1:], atol=1e-6)


@pytest.mark.parametrize("critic", [
    lambda: MLPCritic(inputs=64, widths=[32, 16], norm="spectral"),
    lambda: ConvCritic(picture=picture(8, 8), width=8, norm="spectral"),
    lambda: ResCritic(picture=picture(8, 8), width=8, norm="spectral"),
])  # fmt: skip
def test_spectral_norm_bounds_each_layer_and_comes_back_to_the_bit(critic):
    net, x = critic().train(), torch.rand(6, 1, 8, 8)
    with torch.no_grad():
        for p in net.parameters():
            p.mul_(7)
    for _ in range(60):
        net(x)
    layers = [layer for layer in net.modules() if isinstance(layer, nn.Linear | nn.Conv2d)]
    assert all(map(is_parametrized, layers))
    for layer in layers:
        assert torch.linalg.matrix_norm(layer.weight.flatten(1), 2).item() == pytest.approx(1, abs=0.02)
    twin = critic().train()
    twin.load_state_dict(net.state_dict())
    for _ in range(3):  # each pass moves the singular vectors on
        assert torch.equal(net(x), twin(x))


def test_minibatch_discrimination_by_a_loop():
    layer, h = Variety(features=5, kernels=3), torch.randn(4, 5)
    rows = (h @ layer.project.weight.T).view(4, 3, 5)
    for b in range(4):
        for k in range(3):
            near = [(-(rows[b, k] - rows[c, k]).abs().sum()).exp() for c in range(4) if c != b]
            assert layer(h)[b, k].item() == pytest.approx(sum(near).item() / 3, abs=1e-6)
    assert torch.allclose(layer(h[:1].expand(6, -1)), torch.ones(6, 3))  # all alike: collapsed
    assert torch.equal(layer(h[:1]), torch.zeros(1, 3))


def test_reversal_turns_the_gradient_round():
    x = torch.randn(3, 4, requires_grad=True)
    y = Reversal(strength=0.5)(x)
    assert torch.equal(y, x)
    (y**2).sum().backward()
    assert torch.equal(x.grad, -x.detach())
