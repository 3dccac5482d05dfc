"""Whether the layers learn: gradients, dead units and weights, against closed forms and planted faults."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from dlcli.batch import Images, Table
from dlcli.models.classifier import Classifier
from dlcli.nets.cnn import SmallCNN
from dlcli.nets.layers import Picture
from dlcli.nets.mlp import MLP, Linear
from dlcli.seeing.health import AT_ONCE, activity, gradients, weights


def table(count: int = 40, width: int = 6) -> Table:
    """Return random rows of three classes."""
    return Table(torch.randn(count, width), torch.arange(count) % 3)


def test_the_gradient_of_softmax_regression_is_errors_times_inputs():
    batch, net = table(), Linear(inputs=6, outputs=3)
    errors = net(batch.x).softmax(1) - F.one_hot(batch.y, 3)
    expected = (errors.T @ batch.x / batch.size).norm().item()
    assert gradients(Classifier(net=net, classes=3), batch) == {"net.layers.1": pytest.approx(expected, rel=1e-5)}


def test_the_gradient_norm_is_the_steepest_slope_by_finite_differences():
    batch, model = table(), Classifier(net=MLP(inputs=6, widths=[5], outputs=3, activation="tanh"), classes=3)
    model.double()
    batch = Table(batch.x.double(), batch.y)
    norm, weight = gradients(model, batch)["net.layers.1"], model.net.layers[1].weight
    (direction,) = torch.autograd.grad(model.loss(batch), weight)
    with torch.no_grad():
        before, step = model.loss(batch).item(), 1e-6
        weight += step * direction / direction.norm()
        assert (model.loss(batch).item() - before) / step == pytest.approx(norm, rel=1e-4)


def test_a_deep_sigmoid_net_shows_vanishing_gradients_and_a_deep_relu_net_does_not():
    def ratio(activation: str) -> float:
        torch.manual_seed(0)
        net = MLP(inputs=6, widths=[30] * 8, outputs=3, activation=activation)
        for layer in net.modules():
            if isinstance(layer, nn.Linear):
                (nn.init.kaiming_normal_ if activation == "relu" else nn.init.xavier_normal_)(layer.weight)
        norms = list(gradients(Classifier(net=net, classes=3), table()).values())
        return norms[0] / norms[-1]

    assert ratio("sigmoid") < 1e-4
    assert ratio("relu") > 0.05


def test_asking_for_gradients_changes_nothing_of_the_model():
    model = Classifier(
        net=SmallCNN(picture=Picture(channels=1, height=8, width=8), classes=3, widths=(4,), dropout=0.5), classes=3
    ).eval()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    norms = gradients(model, Images(torch.rand(10, 1, 8, 8), torch.arange(10) % 3))
    assert list(norms) == ["net.stages.0.0.0", "net.head.2"]
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert not model.training
    assert all(p.grad is None for p in model.parameters())


def test_frozen_layers_have_no_gradient_and_a_rule_without_a_loss_none_at_all():
    model = Classifier(net=MLP(inputs=6, widths=[4], outputs=3), classes=3)
    model.net.layers[1].weight.requires_grad_(False)
    assert list(gradients(model, table())) == ["net.layers.3"]
    model.loss = lambda batch: (_ for _ in ()).throw(NotImplementedError)
    assert gradients(model, table()) == {}


def test_planted_dead_units_are_counted_and_zeros_too():
    model = Classifier(net=MLP(inputs=6, widths=[8, 4], outputs=3), classes=3).eval()
    with torch.no_grad():
        model.net.layers[1].bias[:2] = -100
        model.net.layers[1].bias[2:] = 100
    dead, zeros = activity(model, table(2 * AT_ONCE + 50))  # in three batches
    assert dead["net.layers.2"] == zeros["net.layers.2"] == pytest.approx(2 / 8)
    batch = table(2 * AT_ONCE + 50)
    hidden = model.net.layers[:5](model.net.normalize(batch.x))
    dead, zeros = activity(model, batch)
    assert zeros["net.layers.4"] == pytest.approx((hidden == 0).float().mean().item(), abs=1e-6)
    assert dead["net.layers.4"] == (hidden == 0).all(0).float().mean().item()


def test_a_unit_that_answers_once_at_one_place_is_alive_and_a_rectifier_used_twice_has_two_rows():
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.rectify = nn.ReLU()

        def forward(self, x):
            return self.rectify(self.rectify(x) - 1).flatten(1)

    x = -torch.rand(10, 3, 2, 2)
    x[7, 1, 0, 1] = 0.5
    dead, zeros = activity(Classifier(net=Twice(), classes=12), Images(x, torch.zeros(10).long()))
    assert dead == {"net.rectify": pytest.approx(2 / 3), "net.rectify (2)": 1.0}
    assert zeros["net.rectify"] == pytest.approx(1 - 1 / 120)


def test_weights_are_those_of_layers_without_biases_and_norms():
    model = Classifier(net=SmallCNN(picture=Picture(channels=1, height=8, width=8), classes=3, widths=(4,)), classes=3)
    assert {name: tuple(value.shape) for name, value in weights(model).items()} == {
        "net.stages.0.0.0": (4, 1, 3, 3), "net.head.2": (3, 64),
    }  # fmt: skip
