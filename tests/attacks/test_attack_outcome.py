"""The three numbers of an evaluation, by hand."""

import pytest
import torch
from torch.nn import functional as F

from dlcli.attacks.outcome import outcome
from dlcli.errors import DataError


def logits(*classes: int) -> torch.Tensor:
    return 3.0 * F.one_hot(torch.tensor(classes), 3).float()


Y = torch.tensor([0, 0, 1, 1, 2])


def test_untargeted_success_needs_an_example_that_was_right():
    # Right before: 0, 1, 2, 3. Flipped: 1, 2. Example 4 was wrong and becomes right: neither success nor robust.
    found = outcome(logits(0, 0, 1, 1, 0), logits(0, 1, 2, 1, 2), Y)
    expected = {"clean_accuracy": 0.8, "robust_accuracy": 0.4, "success_rate": 0.5, "attacked": 4, "skipped": 1}
    assert found == pytest.approx(expected)


def test_targeted_success_needs_the_target_itself():
    # Target 2: example 4 is there already; 0 goes to 2 (won), 1 to class 1 (not won, not robust), 2 and 3 stay.
    found = outcome(logits(0, 0, 1, 1, 2), logits(2, 1, 1, 1, 2), Y, torch.full((5,), 2))
    expected = {"clean_accuracy": 1.0, "robust_accuracy": 0.6, "success_rate": 0.25, "attacked": 4, "skipped": 1}
    assert found == pytest.approx(expected)


def test_an_example_that_was_wrong_and_reaches_the_target_is_no_success():
    found = outcome(logits(1), logits(2), torch.tensor([0]), torch.tensor([2]))
    assert found == {"clean_accuracy": 0, "robust_accuracy": 0, "success_rate": 0, "attacked": 0, "skipped": 1}


def test_an_empty_split_is_refused():
    with pytest.raises(DataError, match="no example to attack"):
        outcome(torch.zeros(0, 3), torch.zeros(0, 3), torch.zeros(0, dtype=torch.long))
