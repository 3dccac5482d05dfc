"""Cutting is exact, stratified and repeatable; what cannot be learned from is refused with numbers."""

import pytest
import torch

from dlcli.batch import Images, Table
from dlcli.data.splits import Splits, check, divide, few, hold_out, mixed, resample
from dlcli.errors import DataError


def test_hold_out_is_a_partition_in_proportion():
    y = torch.tensor([0] * 60 + [1] * 30 + [2] * 10)
    rest, held = hold_out(y, 20, seed=0)
    assert torch.equal(torch.cat([rest, held]).sort().values, torch.arange(100))
    assert y[held].bincount().tolist() == [12, 6, 2]


def test_hold_out_share_equals_count_and_seed_decides():
    y = torch.arange(100) % 4
    assert torch.equal(hold_out(y, 0.2, 1)[1], hold_out(y, 20, 1)[1])
    assert not torch.equal(hold_out(y, 20, 1)[1], hold_out(y, 20, 2)[1])


def test_hold_out_meets_the_count_with_uneven_classes():
    y = torch.tensor([0] * 7 + [1] * 5 + [2] * 1 + [3] * 4)
    for count in range(14):
        rest, held = hold_out(y, count, 0)
        assert len(held) == count
        assert y[rest].unique().tolist() == [0, 1, 2, 3]  # training knows every class
    with pytest.raises(DataError, match=r"leaves 13; hold out fewer"):
        hold_out(y, 14, 0)


def test_values_are_cut_at_random():
    rest, held = hold_out(torch.randn(50, 1), 10, 0)
    assert len(rest) == 40
    assert held.tolist() != list(range(held[0], held[0] + 10))


def test_divide_gives_shares_of_the_whole_and_keeps_rows_together():
    x = torch.arange(200.0)[:, None]
    parts = divide(Table(x, (torch.arange(200) % 2)), 0.2, 0.2, seed=3)
    assert [part.size for part in parts] == [120, 40, 40]
    assert torch.equal(torch.cat([part.x for part in parts]).sort(0).values, x)
    for part in parts:
        assert torch.equal(part.x[:, 0].long() % 2, part.y)
        assert part.y.float().mean() == 0.5


@pytest.mark.parametrize("count", [100, -1, 1.0, -0.5])
def test_impossible_counts_are_named(count):
    with pytest.raises(DataError, match=f"cannot hold out {count} of 100"):
        hold_out(torch.arange(100) % 2, count, 0)


def _splits(**parts):
    good = Table(torch.zeros(4, 3), torch.tensor([0, 1, 2, 1]))
    return Splits(**({"train": good, "valid": good, "test": good, "facts": {}} | parts))


def test_good_splits_pass():
    check(_splits(), 3)
    images = Images(torch.full((2, 1, 2, 2), 255, dtype=torch.uint8), torch.tensor([0, 1]))
    check(_splits(train=images, valid=images, test=images), 2)
    labels = Table(torch.zeros(4, 3), torch.ones(4, 2))
    check(_splits(train=labels, valid=labels, test=labels, facts={"labels": 2}), None)


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ({"valid": Table(torch.zeros(0, 3), torch.zeros(0).long())}, "the valid split is empty"),
        ({"test": Table(torch.zeros(4, 3), torch.zeros(5).long())}, "the test split has 4 examples but 5 labels"),
        ({"valid": Table(torch.zeros(4, 2), torch.zeros(4).long())}, r"shape \(2,\), the train split \(3,\)"),
        ({"test": Table(torch.zeros(4, 3), torch.tensor([0, 9, 1, 7]))}, "2 of 4 labels .* first 9 at example 1"),
        ({"test": Table(torch.zeros(4, 3), torch.tensor([0, 1, -1, 1]))}, "1 of 4 labels .* first -1 at example 2"),
        ({"train": Table(torch.tensor([[0.0, 1, 2], [0, torch.nan, 1]]), torch.zeros(2).long())}, "inputs.*example 1"),
        ({"valid": Table(torch.zeros(2, 3), torch.tensor([[1.0], [torch.inf]]))}, "targets.*first inf at example 1"),
    ],
)
def test_unfit_splits_are_refused(fault, words):
    with pytest.raises(DataError, match=words):
        check(_splits(**fault), 3)


def test_float_pixels_lie_between_zero_and_one():
    bright = Images(torch.full((2, 1, 2, 2), 200.0), torch.tensor([0, 1]))
    with pytest.raises(DataError, match=r"8 of 8 pixels .* first 200 .* \[0, 1\].*divide them by 255"):
        check(_splits(train=bright, valid=bright, test=bright), 2)


def test_labels_are_zero_or_one():
    wrong = Table(torch.zeros(2, 3), torch.tensor([[0.0, 1.0], [2.0, 0.0]]))
    with pytest.raises(DataError, match="first 2 at example 1: they must be 0 or 1"):
        check(_splits(train=wrong, valid=wrong, test=wrong, facts={"labels": 2}), None)


def test_a_resample_repeats_some_examples_and_leaves_others_out():
    whole = Table(torch.arange(2000.0)[:, None], torch.zeros(2000, dtype=torch.long))
    drawn = resample(whole, 1).x.flatten()
    assert len(drawn) == 2000
    assert 0.61 < len(drawn.unique()) / 2000 < 0.66  # 1 - 1/e
    assert torch.equal(drawn, resample(whole, 1).x.flatten())
    assert not torch.equal(drawn, resample(whole, 2).x.flatten())


def test_a_split_sorted_by_class_is_mixed_so_that_any_first_examples_have_all_classes_in_proportion():
    y = torch.tensor([2] * 60 + [0] * 30 + [1] * 10)
    found = mixed(Table(torch.arange(100.0)[:, None], y))
    assert torch.equal(y[found.x[:, 0].long()], found.y)  # rows stay together
    assert torch.equal(found.x.sort(0).values[:, 0], torch.arange(100.0))
    for count in (10, 30, 50):
        assert found.y[:count].bincount(minlength=3).tolist() == [3 * count // 10, count // 10, 6 * count // 10]
    assert torch.equal(found.x, mixed(Table(torch.arange(100.0)[:, None], y)).x)
    assert not torch.equal(found.x[found.y == 2], torch.arange(60.0)[:, None])  # within a class, too
    twice = Table(torch.arange(60.0)[:, None], torch.arange(60) // 10 % 3)  # two sorted files, one behind the other
    assert mixed(twice).y[:3].sort().values.tolist() == [0, 1, 2]


def test_a_split_without_runs_of_a_class_keeps_its_order():
    y = torch.randint(10, (1000,), generator=torch.Generator().manual_seed(0))
    for split in (Table(torch.zeros(1000, 1), y), Table(torch.zeros(9, 1), torch.arange(9.0)[:, None])):
        assert mixed(split) is split
    assert mixed(Table(torch.zeros(9, 1), torch.ones(9, dtype=torch.long))).size == 9


def test_few_are_drawn_evenly_and_a_smaller_count_is_part_of_a_larger():
    y = torch.tensor([5] * 60 + [2] * 30 + [7] * 10)
    assert y[few(y, 12, 0)].bincount().tolist() == [0, 0, 4, 0, 0, 4, 0, 4]
    assert set(few(y, 12, 0).tolist()) < set(few(y, 40, 0).tolist())
