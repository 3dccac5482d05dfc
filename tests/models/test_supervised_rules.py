"""The other rules with a teacher: yes-or-no labels, regression, and the perceptron."""

import pytest
import torch
from sklearn import metrics as oracle
from sklearn.datasets import load_breast_cancer, load_diabetes, make_blobs
from torch import nn

from dlcli.batch import Table
from dlcli.model import Clock, Update
from dlcli.models.binary import Binary
from dlcli.models.perceptron import Perceptron
from dlcli.models.regressor import Regressor
from dlcli.nets.mlp import MLP, Linear
from dlcli.nets.polynomial import Polynomial


def train(model, data, optimizer, steps, size=64):
    """Run the shortest training loop that obeys the contract."""
    for step in range(steps):
        chosen = torch.randperm(data.size)[:size]
        for update in model.updates(Table(data.x[chosen], data.y[chosen]), Clock(step, steps)):
            if update.loss is not None:
                optimizer.zero_grad()
                update.loss.backward()
            optimizer.step()
    return model.eval()


def score(model, batch):
    """Score a whole split as the engine does."""
    with torch.no_grad():
        return model.score(model.measure(batch))


def cancer() -> Table:
    """Return 569 tumours: 30 features, standardized, and whether they are benign."""
    x, y = load_breast_cancer(return_X_y=True)
    x = torch.tensor(x)
    return Table(((x - x.mean(0)) / x.std(0)).float(), torch.tensor(y).long())


def test_logistic_regression_tells_tumours_apart():
    model, data = Binary(net=Linear(inputs=30, outputs=1), labels=1, names=["malignant", "benign"]), cancer()
    train(model, data, torch.optim.Adam(model.parameters(), lr=0.01), 300)
    found = score(model, data)
    with torch.no_grad():
        logits = model(data.x)[:, 0]
    assert found["accuracy"] == pytest.approx(oracle.accuracy_score(data.y, logits > 0))
    assert found["accuracy"] > 0.96
    assert found["f1"] == pytest.approx(oracle.f1_score(data.y, logits > 0))
    assert found["auc"] == pytest.approx(oracle.roc_auc_score(data.y, logits))
    with torch.no_grad():
        report = model.report(model.measure(data))
    assert report["labels"]["benign"]["support"] == 357
    assert hasattr(report["confusion"], "savefig")
    assert model.show(data)["answers"].splitlines()[2] == "| 0 | malignant | malignant |"


def test_one_sigmoid_equals_softmax_over_a_difference_of_logits():
    batch = Table(torch.randn(20, 1), torch.randint(0, 2, (20,)))
    pair = torch.cat([torch.zeros(20, 1), batch.x], 1)
    torch.testing.assert_close(
        Binary(net=nn.Identity(), labels=1).loss(batch), nn.functional.cross_entropy(pair, batch.y)
    )


def test_several_labels_are_right_only_together():
    logits = torch.tensor([[3.0, -3.0, 3.0], [3.0, 3.0, 3.0]])
    batch = Table(logits, torch.tensor([[1.0, 0.0, 1.0], [1.0, 0.0, 1.0]]))
    model = Binary(net=nn.Identity(), labels=3, names=["red", "round", "sweet"])
    found = score(model, batch)
    assert found["accuracy"] == 0.5
    assert found["label_accuracy"] == pytest.approx(5 / 6)
    assert model.measure(batch)["loss"].shape == (2,)
    assert model.show(batch)["answers"].splitlines()[3] == "| 1 | red, round, sweet | red, sweet |"


def test_an_mlp_learns_overlapping_labels():
    x = torch.randn(600, 2)
    labels = torch.stack([x[:, 0] > 0, x[:, 1] > 0, x.norm(dim=1) < 1], 1).float()
    model = Binary(net=MLP(inputs=2, widths=[32], outputs=3), labels=3)
    train(model, Table(x, labels), torch.optim.Adam(model.parameters(), lr=0.02), 300)
    assert score(model, Table(x, labels))["accuracy"] > 0.9
    with torch.no_grad():
        report = model.report(model.measure(Table(x, labels)))
    assert set(report["labels"]) == {"label 0", "label 1", "label 2"}


def test_regression_learns_in_standard_deviations_and_scores_in_units():
    x, y = (torch.tensor(part).float() for part in load_diabetes(return_X_y=True))
    data = Table(x, y.view(-1, 1))
    net = Linear(inputs=10, outputs=1, mean=[0.0] * 10, std=x.std(0).tolist())
    model = Regressor(net=net, mean=[y.mean().item()], std=[y.std(correction=0).item()])
    start = score(model, data)
    assert start["mse"] == pytest.approx(start["loss"] * y.var(correction=0).item(), rel=1e-4)
    train(model, data, torch.optim.Adam(model.parameters(), lr=0.02), 500)
    best = torch.linalg.lstsq(torch.cat([x, torch.ones(len(x), 1)], 1), data.y)
    residual = data.y - torch.cat([x, torch.ones(len(x), 1)], 1) @ best.solution
    assert score(model, data)["mse"] == pytest.approx(residual.square().mean().item(), rel=0.02)
    assert 0.5 < score(model, data)["r2"] < 0.53
    with torch.no_grad():
        report = model.report(model.measure(data))
    assert hasattr(report["scatter"], "savefig")
    assert report["targets"]["target 0"]["mae"] == pytest.approx(score(model, data)["mae"])


def test_a_polynomial_finds_the_curve_that_made_the_points():
    x = 4 * torch.rand(400, 1) - 1
    y = 10 + 5 * x - 3 * x**2 + x**3
    net = Polynomial(degree=3, mean=[1.0], std=[1.1547])
    model = Regressor(net=net, mean=[y.mean().item()], std=[y.std().item()])
    train(model, Table(x, y), torch.optim.SGD(model.parameters(), lr=0.1), 300)
    assert score(model, Table(x, y))["r2"] > 0.999


def test_the_predictions_of_a_regressor_come_in_the_units_of_the_target():
    model = Regressor(net=nn.Identity(), mean=[100.0, 0.0], std=[10.0, 0.0])
    assert model(torch.tensor([[1.0, 2.0]])).tolist() == [[110.0, 2.0]]  # a target that never varies has no unit


def rosenblatt(x, y, steps):
    """Learn w and b of one step unit by the rule of 1958: w + (t - step(w x + b)) x, one example at a time."""
    w, b = torch.zeros(x.shape[1]), torch.zeros(())
    for i in range(steps):
        row, t = x[i % len(x)], y[i % len(x)]
        error = t - (w @ row + b > 0).float()
        w, b = w + error * row, b + error
    return w, b


def test_with_two_classes_the_rule_is_rosenblatts():
    x, y = torch.randn(50, 3), torch.randint(0, 2, (50,))
    model = Perceptron(net=Linear(inputs=3, outputs=2), classes=2)
    optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
    for i in range(150):
        for _ in model.updates(Table(x[[i % 50]], y[[i % 50]]), Clock(i, 150)):
            optimizer.step()
    w, b = rosenblatt(x, y, 150)
    torch.testing.assert_close(model.unit.weight[1] - model.unit.weight[0], 2 * w)
    torch.testing.assert_close(model.unit.bias[1] - model.unit.bias[0], 2 * b)


@pytest.mark.parametrize("rate", [0.01, 1.0])
def test_the_perceptron_ends_without_errors_on_separable_blobs_at_any_rate(rate):
    x, y = make_blobs(300, centers=[[-4, 0], [4, 0], [0, 6]], cluster_std=0.7, random_state=0)
    data = Table(torch.tensor(x).float(), torch.tensor(y).long())
    model = Perceptron(net=Linear(inputs=2, outputs=3), classes=3)
    train(model, data, torch.optim.SGD(model.players()["model"], lr=rate), 200, size=16)
    found = score(model, data)
    assert found["accuracy"] == 1
    assert found["loss"] == 0
    for update in model.updates(data, Clock(0, 1)):
        assert update == Update(None)
    assert model.unit.weight.grad.abs().sum() == 0  # nothing is left to correct


def test_no_line_separates_xor():
    data = Table(torch.tensor([[0.0, 0], [0, 1], [1, 0], [1, 1]]), torch.tensor([0, 1, 1, 0]))
    model = Perceptron(net=Linear(inputs=2, outputs=2), classes=2)
    optimizer, best = torch.optim.SGD(model.parameters(), lr=1.0), 0.0
    for _ in range(50):
        train(model, data, optimizer, 4, size=1)
        best = max(best, score(model, data)["accuracy"])
    assert best <= 0.75


def test_only_the_last_layer_of_a_perceptron_learns():
    net = MLP(inputs=2, widths=[8], outputs=2)
    model, before = Perceptron(net=net, classes=2), net.layers[1].weight.clone()
    data = Table(torch.randn(20, 2), torch.randint(0, 2, (20,)))
    train(model, data, torch.optim.SGD(model.players()["model"], lr=1.0), 10)
    assert torch.equal(net.layers[1].weight, before)
    assert net.layers[-1].weight.abs().sum() > 0
    assert torch.is_grad_enabled()
