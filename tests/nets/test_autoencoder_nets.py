"""Encoders and decoders: numbers of weights, shapes, and the k-sparse code."""

import pytest
import torch
from torch import nn

from dlcli.errors import ConfigError
from dlcli.nets.autoencoder import Encoder, EncoderClassifier, LectureDecoder, LectureEncoder, Strongest
from dlcli.nets.restoration import Correction
from dlcli.nets.vae import Decoder


def weights(*modules: nn.Module) -> int:
    """Count the trained numbers."""
    return sum(p.numel() for module in modules for p in module.parameters())


def test_the_fully_connected_pair_has_the_lecture_s_weights():
    encoder, decoder = Encoder(inputs=784, widths=[], latent=32), Decoder(latent=32, widths=[], shape=[1, 28, 28])
    assert (weights(encoder), weights(decoder)) == (25_120, 25_872)
    assert weights(encoder, decoder) == 50_992
    assert decoder(encoder(torch.rand(2, 1, 28, 28))).shape == (2, 1, 28, 28)


def test_two_linear_maps_fold_to_one_of_no_higher_rank():
    encoder, decoder = Encoder(inputs=20, widths=[], latent=6), Decoder(latent=6, widths=[], shape=[20])
    first, last = encoder.layers[1], decoder.layers[1]
    matrix, shift = last.weight @ first.weight, last.weight @ first.bias + last.bias
    x = torch.randn(7, 20)
    torch.testing.assert_close(decoder(encoder(x)), x @ matrix.T + shift)
    assert torch.linalg.matrix_rank(matrix) == 6


def test_the_lecture_s_convolutions():
    shape = {"channels": 1, "height": 28, "width": 28}
    encoder, decoder = LectureEncoder(**shape), LectureDecoder(**shape)
    assert (weights(encoder), weights(decoder)) == (105_216, 105_153)
    assert weights(encoder, decoder) == 210_369
    x, shapes = torch.rand(2, 1, 28, 28), []
    for net in (encoder, decoder):
        for layer in net.layers:
            x = layer(x)
            if isinstance(layer, (nn.Conv2d, nn.ConvTranspose2d)):
                shapes.append(tuple(x.shape[1:]))
    assert shapes == [(16, 14, 14), (32, 7, 7), (64, 1, 1), (32, 7, 7), (16, 14, 14), (1, 28, 28)]


def test_other_sizes_that_can_be_halved_twice():
    shape = {"channels": 3, "height": 32, "width": 24, "widths": [4, 8], "latent": 5}
    encoder, decoder = LectureEncoder(**shape), LectureDecoder(**shape)
    code = encoder(torch.rand(2, 3, 32, 24))
    assert code.shape == (2, 5)
    assert decoder(code).shape == (2, 3, 32, 24)
    with pytest.raises(ConfigError, match="30x32 cannot be halved twice"):
        LectureEncoder(channels=1, height=30, width=32)
    with pytest.raises(ConfigError, match="two convolutions"):
        LectureDecoder(channels=1, height=28, width=28, widths=[1, 2, 3])


def test_only_the_strongest_stay():
    h = torch.tensor([[3.0, -1.0, 5.0, 0.0], [-4.0, -1.0, -3.0, -2.0]])
    assert torch.equal(Strongest(k=2)(h), torch.tensor([[3.0, 0.0, 5.0, 0.0], [0.0, -1.0, 0.0, -2.0]]))
    code = Encoder(inputs=10, widths=[], latent=50, active=7)(torch.randn(5, 10))
    assert ((code != 0).sum(1) == 7).all()
    with pytest.raises(ConfigError, match="of a code of 4 numbers"):
        Encoder(inputs=10, widths=[], latent=4, active=5)


def test_a_head_on_an_encoder_and_a_correction():
    net = EncoderClassifier(encoder=Encoder(inputs=12, widths=[5], latent=3), latent=3, classes=4)
    assert net(torch.rand(2, 12)).shape == (2, 4)
    x = torch.rand(2, 1, 5, 5)
    net = Correction(net=nn.Identity())
    assert torch.equal(net(x), x)  # before it has learned anything
    net(x).sum().backward()
    torch.testing.assert_close(net.gate.grad, x.sum())  # so that the gate opens
    nn.init.ones_(net.gate)
    torch.testing.assert_close(net(x), 2 * x)
