"""The classifier: its loss, scores, report, and that it learns."""

import math

import pytest
import torch
import torch.nn.functional as F
from sklearn.datasets import load_digits, load_iris

from dlcli.batch import Images, Table
from dlcli.errors import ConfigError
from dlcli.model import Clock
from dlcli.models.classifier import Classifier
from dlcli.nets.cnn import SmallCNN
from dlcli.nets.layers import Picture
from dlcli.nets.lenet import LeNet5
from dlcli.nets.mlp import MLP, Linear


def iris() -> Table:
    """Return the 150 flowers, standardized."""
    x, y = load_iris(return_X_y=True)
    x = torch.tensor(x).float()
    return Table((x - x.mean(0)) / x.std(0), torch.tensor(y).long())


def digits() -> Images:
    """Return the 1797 handwritten digits of 8x8 pixels."""
    x, y = load_digits(return_X_y=True)
    return Images(torch.tensor(x / 16).float().view(-1, 1, 8, 8), torch.tensor(y).long())


def train(model, data, steps, rate=1e-2, size=64):
    """Run the shortest training loop that obeys the contract."""
    optimizer = torch.optim.Adam(model.parameters(), lr=rate)
    model.train()
    for step in range(steps):
        chosen = torch.randperm(data.size)[:size]
        for update in model.updates(type(data)(*(field[chosen] for field in data)), Clock(step, steps)):
            optimizer.zero_grad()
            update.loss.backward()
            optimizer.step()
    return model.eval()


def split(data):
    """Return four fifths of the examples for training and the rest."""
    order = torch.randperm(data.size)
    cut = data.size * 4 // 5
    return [type(data)(*(field[part] for field in data)) for part in (order[:cut], order[cut:])]


def measured(model, batch):
    """Measure and score a whole split as the engine does."""
    with torch.no_grad():
        found = model.eval().measure(batch)
    return found, model.score(found)


def test_a_linear_net_with_this_rule_is_softmax_regression_on_iris():
    model = train(Classifier(net=Linear(inputs=4, outputs=3), classes=3), iris(), 300, rate=0.1)
    assert measured(model, iris())[1]["accuracy"] > 0.95


@pytest.mark.parametrize("kind", ["mlp", "lenet", "cnn"])
def test_nets_learn_digits(kind):
    size = {"picture": Picture(channels=1, height=8, width=8), "classes": 10}
    net = {
        "mlp": lambda: MLP(inputs=64, widths=[64], outputs=10, mean=[0.3], std=[0.38]),
        "lenet": lambda: LeNet5(**size),
        "cnn": lambda: SmallCNN(**size, widths=[16, 32]),
    }[kind]()
    seen, unseen = split(digits())
    model = train(Classifier(net=net, classes=10), seen, 200, rate=5e-3)
    assert measured(model, unseen)[1]["accuracy"] > 0.92


def test_loss_and_scores_of_hand_made_logits():
    logits = torch.tensor([[0.01, 0.97, 0.02], [0.6, 0.2, 0.2]]).log()
    model = Classifier(net=torch.nn.Identity(), classes=3)
    found, score = measured(model, Table(logits, torch.tensor([0, 0])))
    assert found["loss"].tolist() == pytest.approx([4.6052, 0.5108], abs=1e-4)
    assert score["accuracy"] == 0.5
    assert score["loss"] == pytest.approx(model.loss(Table(logits, torch.tensor([0, 0]))).item())
    assert score["f1"] == pytest.approx(2 / 3 / 3)  # class 0: one hit, one miss, no false alarm


def test_smoothing_moves_the_truth_in_training_but_not_in_what_is_measured():
    batch = Table(torch.randn(6, 4), torch.randint(0, 4, (6,)))
    plain, smooth = (Classifier(net=torch.nn.Identity(), classes=4, smoothing=s) for s in (0.0, 0.2))
    target = 0.8 * F.one_hot(batch.y, 4) + 0.2 / 4
    expected = -(target * batch.x.log_softmax(1)).sum(1).mean()
    torch.testing.assert_close(smooth.loss(batch), expected)
    torch.testing.assert_close(smooth.measure(batch)["loss"], plain.measure(batch)["loss"])


def test_the_report_holds_tables_numbers_and_figures():
    data = digits()
    model = train(
        Classifier(
            net=Linear(inputs=64, outputs=10),
            classes=10,
            names=["zero", "one", *"23456789"],
        ),
        data,
        100,
    )
    report = model.report(measured(model, data)[0])
    assert list(report["classes"])[:2] == ["zero", "one"]
    assert report["classes"]["macro average"]["support"] == 1797
    assert report["top5"] > report["classes"]["weighted average"]["recall"] > 0.8
    assert 0.95 < report["auc"] <= 1
    assert 0 < report["calibration_error"] < 1
    assert hasattr(report["confusion"], "savefig")
    for name in ("roc", "precision_recall", "calibration"):
        assert hasattr(report[name](), "savefig")
    assert "top5" not in Classifier(net=torch.nn.Identity(), classes=3).report(
        {"logits": torch.randn(9, 3), "truth": torch.arange(9) % 3}
    )


def test_what_is_shown():
    model = Classifier(net=Linear(inputs=64, outputs=10), classes=10, names=list("abcdefghij"))
    batch = Images(digits().x[:3], digits().y[:3])
    shown = model.show(batch)
    assert shown["input"].shape == (3, 1, 8, 8)
    assert shown["answers"].splitlines()[2].endswith("| a |")
    assert set(Classifier(net=Linear(inputs=4, outputs=3), classes=3).show(iris())) == {"answers"}


def test_the_embedding_is_what_the_last_linear_layer_reads():
    net = MLP(inputs=4, widths=[7, 5], outputs=3)
    model, batch = Classifier(net=net, classes=3), iris()
    hidden = model.embed(batch)
    assert hidden.shape == (150, 5)
    torch.testing.assert_close(net.layers[-1](hidden), model(batch.x))
    assert not any(layer._forward_pre_hooks for layer in net.modules())  # nothing is left behind
    with pytest.raises(ConfigError, match="Identity has no linear layer"):
        Classifier(net=torch.nn.Identity(), classes=3).embed(batch)


def test_a_failing_net_leaves_no_hook_behind():
    net = MLP(inputs=4, widths=[7], outputs=3)
    with pytest.raises(RuntimeError):
        Classifier(net=net, classes=3).embed(Table(torch.zeros(2, 9), torch.zeros(2)))
    assert not any(layer._forward_pre_hooks for layer in net.modules())


def test_an_untrained_classifier_starts_at_the_logarithm_of_the_classes():
    score = measured(Classifier(net=Linear(inputs=64, outputs=10), classes=10), digits())[1]
    assert score["loss"] == pytest.approx(math.log(10), abs=0.4)
