"""Auxiliary heads: the loss by hand, evaluation by the main head alone, and that they learn."""

import pytest
import torch
import torch.nn.functional as F
from sklearn.datasets import load_digits

from dlcli.batch import Images
from dlcli.errors import ConfigError
from dlcli.models.auxiliary import AuxiliaryClassifier
from dlcli.nets.googlenet import GoogLeNet
from dlcli.nets.layers import Picture
from dlcli.nets.mlp import Linear


def net() -> GoogLeNet:
    """Return a small net with three heads."""
    size = Picture(channels=1, height=8, width=8)
    return GoogLeNet(picture=size, classes=10, form="small", norm="batch", scale=0.1)


def test_the_loss_adds_a_share_of_each_auxiliary_head():
    model = AuxiliaryClassifier(net=net(), classes=10, weight=0.3).eval()
    batch = Images(torch.rand(4, 1, 8, 8), torch.tensor([1, 2, 3, 4]))
    first, second, main = (F.cross_entropy(head, batch.y) for head in model.net.heads(batch.x))
    torch.testing.assert_close(model.loss(batch), main + 0.3 * (first + second))
    torch.testing.assert_close(model.measure(batch)["loss"].mean(), main)
    assert model.measure(batch)["logits"].shape == (4, 10)
    assert model.embed(batch).shape == (4, model.net.head[-1].in_features)


def test_without_auxiliary_heads_the_loss_is_the_ordinary_one():
    size = Picture(channels=1, height=8, width=8)
    lone = GoogLeNet(picture=size, classes=10, form="small", scale=0.1, auxiliaries=False)
    model = AuxiliaryClassifier(net=lone, classes=10).eval()
    batch = Images(torch.rand(4, 1, 8, 8), torch.tensor([1, 2, 3, 4]))
    torch.testing.assert_close(model.loss(batch), F.cross_entropy(model(batch.x), batch.y))


def test_a_net_without_heads_is_refused():
    with pytest.raises(ConfigError, match="Linear has no auxiliary heads; take model=googlenet"):
        AuxiliaryClassifier(net=Linear(inputs=2, outputs=2), classes=2)


def test_all_heads_learn_digits():
    x, y = load_digits(return_X_y=True)
    data = Images(torch.tensor(x / 16).float().view(-1, 1, 8, 8), torch.tensor(y).long())
    model = AuxiliaryClassifier(net=net(), classes=10)
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    for step in range(60):
        part = slice(step * 25 % 1500, step * 25 % 1500 + 25)
        optimizer.zero_grad()
        model.loss(Images(data.x[part], data.y[part])).backward()
        optimizer.step()
    model.eval()
    with torch.no_grad():
        heads = model.net.heads(data.x[1500:])
    assert all((head.argmax(1) == data.y[1500:]).float().mean() > 0.6 for head in heads)
