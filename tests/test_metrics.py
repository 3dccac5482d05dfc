"""Metrics against scikit-learn, and against numbers worked out by hand."""

import math

import pytest
import torch
from sklearn import metrics as oracle

from dlcli import metrics


@pytest.fixture
def guesses():
    """Return truth, guess and probabilities of 500 examples of 4 classes; the guesses are fair, not perfect."""
    truth = torch.randint(0, 4, (500,))
    logits = torch.randn(500, 4) + 1.5 * torch.nn.functional.one_hot(truth, 4)
    return truth, logits.argmax(1), logits.softmax(1)


def test_confusion_has_the_truth_in_rows():
    table = metrics.confusion(torch.tensor([0, 0, 1, 2]), torch.tensor([0, 1, 1, 1]), 3)
    assert table.tolist() == [[1, 1, 0], [0, 1, 0], [0, 1, 0]]


def test_classification_agrees_with_scikit_learn(guesses):
    truth, guess, _ = guesses
    found = metrics.classification(truth, guess, 4)
    assert metrics.confusion(truth, guess, 4).tolist() == oracle.confusion_matrix(truth, guess).tolist()
    assert found["accuracy"] == pytest.approx(oracle.accuracy_score(truth, guess))
    assert found["error"] == pytest.approx(1 - found["accuracy"])
    assert found["precision"] == pytest.approx(oracle.precision_score(truth, guess, average="macro"))
    assert found["recall"] == pytest.approx(oracle.recall_score(truth, guess, average="macro"))
    assert found["f1"] == pytest.approx(oracle.f1_score(truth, guess, average="macro"))


def test_the_table_by_class_agrees_with_scikit_learn(guesses):
    truth, guess, _ = guesses
    guess = guess.where(guess != 3, 0)  # a class that is never guessed
    table = metrics.per_class(metrics.confusion(truth, guess, 4), list("abcd"))
    names = {"precision": "precision", "recall": "recall", "f1": "f1-score", "support": "support"}
    expected = oracle.classification_report(truth, guess, target_names=list("abcd"), output_dict=True, zero_division=0)
    for ours, theirs in zip(
        [*"abcd", "macro average", "weighted average"], [*"abcd", "macro avg", "weighted avg"], strict=True
    ):
        assert table[ours] == pytest.approx({key: expected[theirs][name] for key, name in names.items()})


def test_worked_binary_example():
    truth, guess = torch.tensor([[1, 1, 1, 0, 0]]).T.bool(), torch.tensor([[1, 1, 0, 1, 0]]).T.bool()
    found = metrics.label_rates(truth, guess)  # TP 2, FP 1, FN 1
    assert found["precision"].item() == found["recall"].item() == found["f1"].item() == pytest.approx(2 / 3)


def test_label_rates_agree_with_scikit_learn():
    truth, guess = torch.rand(300, 5) < 0.3, torch.rand(300, 5) < 0.4
    expected = oracle.precision_recall_fscore_support(truth, guess, average=None)
    for ours, theirs in zip(metrics.label_rates(truth, guess).values(), expected, strict=False):
        torch.testing.assert_close(ours, torch.tensor(theirs))


def test_area_under_the_curve_agrees_with_scikit_learn(guesses):
    truth, _, probabilities = guesses
    positive = torch.nn.functional.one_hot(truth, 4)
    expected = oracle.roc_auc_score(
        truth, probabilities.double() / probabilities.double().sum(1, True), multi_class="ovr"
    )
    assert metrics.mean_auc(probabilities, positive) == pytest.approx(expected, abs=1e-6)
    coarse = (probabilities * 5).round()  # many ties
    assert metrics.auc(coarse[:, 1], truth == 1) == pytest.approx(oracle.roc_auc_score(truth == 1, coarse[:, 1]))


def test_the_area_of_one_kind_is_undefined_and_left_out_of_the_mean():
    scores, positive = torch.tensor([[0.1, 0.2], [0.9, 0.3]]), torch.tensor([[0, 1], [1, 1]])
    assert math.isnan(metrics.auc(scores[:, 1], positive[:, 1]))
    assert metrics.mean_auc(scores, positive) == 1.0


def test_top_k_and_brier(guesses):
    truth, _, probabilities = guesses
    assert metrics.top(probabilities, truth, 2) == pytest.approx(oracle.top_k_accuracy_score(truth, probabilities, k=2))
    assert metrics.brier(torch.tensor([[0.7, 0.2, 0.1]]), torch.tensor([1])) == pytest.approx(0.49 + 0.64 + 0.01)


def test_calibration_error_of_a_worked_example():
    confidence, correct = torch.tensor([0.95, 0.95, 0.55, 0.55]), torch.tensor([1, 1, 1, 0])
    # |1 - 0.95| for one half of the examples, |0.5 - 0.55| for the other
    assert metrics.calibration_error(confidence, correct, bins=10) == pytest.approx(0.05)
    expected, found, count = metrics.calibration(torch.tensor([0.0, 1.0]), torch.tensor([0, 1]), bins=4)
    assert count.tolist() == [1, 0, 0, 1]
    assert found.tolist() == expected.tolist() == [0, 0, 0, 1]


def test_honest_probabilities_are_calibrated():
    confidence = torch.rand(100_000)
    correct = torch.rand(100_000) < confidence
    assert metrics.calibration_error(confidence, correct) < 0.01
    assert metrics.calibration_error(confidence.sqrt(), correct) > 0.1


def test_regression_agrees_with_scikit_learn():
    truth = torch.randn(200, 3) * torch.tensor([1.0, 10.0, 100.0])
    guess = truth + torch.randn(200, 3)
    found = metrics.regression(guess, truth)
    assert found["mse"] == pytest.approx(oracle.mean_squared_error(truth, guess), rel=1e-5)
    assert found["rmse"] == pytest.approx(found["mse"] ** 0.5)
    assert found["mae"] == pytest.approx(oracle.mean_absolute_error(truth, guess), rel=1e-5)
    assert found["r2"] == pytest.approx(oracle.r2_score(truth, guess), rel=1e-5)
    assert metrics.regression(torch.ones(4, 1), torch.zeros(4, 1))["r2"] == 0
