"""The net for CIFAR-10: whitening and identity start."""

import pytest
import torch
import torch.nn.functional as F

from dlcli.errors import ConfigError
from dlcli.nets.airbench import Airbench, Whitening
from dlcli.nets.layers import Picture


def test_whitened_patches_are_uncorrelated_and_of_variance_one():
    x = F.avg_pool2d(torch.rand(64, 3, 36, 36), 3, 1)  # neighbours are correlated
    layer = Whitening(channels=3, eps=1e-7).train()
    y = layer(x)
    half = y[:, :12].movedim(1, -1).flatten(0, 2)
    assert torch.allclose(half.T.cov(), torch.eye(12), atol=0.02)
    assert torch.equal(layer.weight[:12], -layer.weight[12:])


def test_the_filters_are_those_of_single_precision_under_autocast():
    x = F.avg_pool2d(torch.rand(16, 3, 12, 12), 3, 1)
    plain, half = Whitening(channels=3).train(), Whitening(channels=3).train()
    plain(x)
    with torch.autocast("cpu", torch.bfloat16):
        half(x)
    assert half.weight.equal(plain.weight)


def test_the_filters_stay_as_the_first_batch_made_them():
    layer = Whitening(channels=1).train()
    layer(torch.rand(8, 1, 9, 9))
    first = layer.weight.clone()
    layer(torch.rand(8, 1, 9, 9) ** 3)
    assert torch.equal(layer.weight, first)
    resumed = Whitening(channels=1).train()
    resumed.load_state_dict(layer.state_dict())
    resumed(torch.rand(8, 1, 9, 9) ** 3)
    assert torch.equal(resumed.weight, first)


def test_convolutions_start_as_the_identity_on_their_first_channels():
    net = Airbench(picture=Picture(channels=3, height=32, width=32), classes=10)
    x = torch.rand(2, 24, 5, 5)
    assert torch.allclose(net.groups[0][0](x)[:, :24], x, atol=1e-6)


def test_size_and_shape_are_those_of_the_paper():
    with torch.device("meta"):
        net = Airbench(picture=Picture(channels=3, height=32, width=32), classes=10)
        assert net.eval()(torch.zeros(2, 3, 32, 32)).shape == (2, 10)
    learned = sum(p.numel() for p in net.parameters() if p.requires_grad)
    convolutions = 9 * (24 * 64 + 64 * 64 + 64 * 256 + 3 * 256 * 256)
    assert learned == convolutions + 24 + 2 * (64 + 256 + 256) + 256 * 10


@pytest.mark.parametrize("size", [9, 28, 40])
def test_other_sizes_pass(size):
    net = Airbench(picture=Picture(channels=1, height=size, width=size), classes=3, widths=[8, 8, 8]).train()
    assert net(torch.rand(4, 1, size, size)).shape == (4, 3)


def test_too_small_pictures_are_refused():
    with pytest.raises(ConfigError, match="at least 9x9"):
        Airbench(picture=Picture(channels=1, height=8, width=8), classes=3)
