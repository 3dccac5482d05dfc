"""Classes left out of training and validation: exactly those, with facts of what is left, and told if impossible."""

from pathlib import Path

import pytest
import torch

from dlcli.batch import Images, Signals, Table
from dlcli.data.embedded import Bundled, Digits
from dlcli.data.facts import image_facts
from dlcli.data.splits import Splits
from dlcli.data.tones import Tones
from dlcli.data.without import leave_out
from dlcli.errors import ConfigError, DataError


def named(*names: str) -> Splits:
    """Return thirty pictures of each split, of classes with names."""
    split = Images(torch.rand(30, 1, 4, 4), torch.arange(30) % len(names))
    return Splits(split, split, split, {"names": list(names), "classes": len(names)})


def test_left_out_classes_are_in_the_test_split_alone_and_the_facts_are_of_the_rest():
    whole = Digits().load(Path())
    cut = leave_out(whole, [3, "8"])
    for name in ("train", "valid"):
        before, after = getattr(whole, name), getattr(cut, name)
        kept = (before.y != 3) & (before.y != 8)
        assert torch.equal(after.x, before.x[kept])
        assert torch.equal(after.y, before.y[kept])
    assert cut.test is whole.test
    assert cut.facts == whole.facts | image_facts(whole.train.x[(whole.train.y != 3) & (whole.train.y != 8)])
    assert cut.facts["mean"] != whole.facts["mean"]
    assert cut.facts["classes"] == 10  # what a net puts out stays as it is
    assert leave_out(whole, []) is whole


@pytest.mark.parametrize(("source", "kind"), [(Bundled(name="wine"), Table), (Tones(samples=20, length=64), Signals)])
def test_tables_and_sounds_can_do_it_too(source, kind):
    cut = leave_out(source.load(Path()), [0])
    assert isinstance(cut.train, kind)
    assert 0 not in cut.train.y
    assert 0 in cut.test.y


def test_a_name_counts_before_a_number():
    assert set(leave_out(named("2", "1", "0"), [0]).train.y.tolist()) == {0, 1}  # the class called 0 is number 2
    assert set(leave_out(named("cat", "dog", "owl"), [0]).train.y.tolist()) == {1, 2}
    assert set(leave_out(named("cat", "dog", "owl"), ["owl"]).train.y.tolist()) == {0, 1}


@pytest.mark.parametrize(
    ("classes", "told"),
    [
        (["dgo"], r"without=dgo: no such class; did you mean dog\? classes: cat, dog, owl"),
        ([3], r"without=3: no such class; classes: cat, dog, owl"),
        ([-1], r"without=-1: no such class"),
        ([None], r"without=None: no such class"),
        (["9" * 9999], r"no such class"),
        (["cat", 1, "owl"], r"every class is left out; keep at least one of cat, dog, owl"),
    ],
)
def test_classes_that_cannot_be_left_out_are_told(classes, told):
    with pytest.raises(ConfigError, match=told):
        leave_out(named("cat", "dog", "owl"), classes)


def test_data_without_classes_and_splits_without_others_are_told():
    with pytest.raises(ConfigError, match=r"without=\[1\]: these data do not name one class .* set without=\[\]"):
        leave_out(Bundled(name="diabetes").load(Path()), [1])
    alone = named("cat", "dog", "owl")
    alone = alone._replace(valid=Images(torch.rand(5, 1, 4, 4), torch.ones(5, dtype=torch.long)))
    with pytest.raises(DataError, match=r"the validation split has no example of the other classes"):
        leave_out(alone, ["dog"])
