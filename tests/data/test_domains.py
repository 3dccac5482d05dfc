"""Two domains of pictures, and mixtures whose modes are known."""

import math
from pathlib import Path

import pytest
import torch

from dlcli import fidelity
from dlcli.batch import Pairs
from dlcli.config.build import build
from dlcli.data.domains import Domains, Outlines, beside, outline
from dlcli.data.embedded import Bundled, Digits
from dlcli.data.ring import Grid, Ring
from dlcli.data.serving import serve
from dlcli.data.splits import check
from dlcli.data.without import leave_out
from dlcli.errors import ConfigError, DataError

HERE = Path()


def test_an_outline_is_bright_where_a_picture_changes():
    x = torch.zeros(1, 1, 5, 7, dtype=torch.uint8)
    x[..., 3:] = 200
    assert outline(x)[0, 0, 2].tolist() == [0, 0, 200, 200, 0, 0, 0]
    assert outline(torch.full((1, 1, 4, 4), 90, dtype=torch.uint8)).sum() == 0  # the edge of the picture is none


def test_no_pair_is_known_in_training_and_every_pair_in_the_test():
    splits = Outlines().load(HERE)
    check(splits, 10)
    train, test = splits.train, splits.test
    assert isinstance(train, Pairs)
    assert torch.equal(test.x, outline(test.other))
    there = {row.numpy().tobytes() for row in outline(train.other)}
    alike = sum(row.numpy().tobytes() in there for row in train.x)
    assert alike == 0
    assert torch.equal(Outlines().load(HERE).train.x, train.x)
    assert not torch.equal(Outlines(split_seed=1).load(HERE).train.x[:5], train.x[:5])
    assert splits.facts["kind"] == "pairs"
    assert splits.facts["other_mean"] != splits.facts["mean"]


def test_both_domains_are_served_between_black_and_white():
    loader = serve(Outlines().load(HERE).train, size=50)
    batch = next(iter(loader.epoch(0)))
    assert (batch.size, batch.x.dtype, batch.other.dtype) == (50, torch.float32, torch.float32)
    assert 0.5 < batch.other.max() <= 1
    assert batch.y.dtype == torch.int64


def test_the_smaller_domain_comes_again_and_again():
    first, second = Digits(size=8, split_seed=0), Digits(size=8, split_seed=1)
    a, b = first.load(HERE), second.load(HERE)
    short = beside(a.train, b.valid, longest=True)
    assert short.size == a.train.size
    assert torch.equal(short.other[b.valid.size], b.valid.x[0])
    assert beside(a.train, b.valid, longest=False).size == b.valid.size
    splits = Domains(first=first, second=second).load(HERE)
    assert torch.equal(splits.test.other, b.test.x)
    assert torch.equal(splits.test.y, a.test.y)


def test_domains_that_do_not_fit():
    with pytest.raises(DataError, match="pictures of one shape"):
        Domains(first=Digits(size=8), second=Digits(size=28)).load(HERE)
    with pytest.raises(DataError, match="pictures of one shape"):
        Domains(first=Digits(size=8), second=Bundled(name="iris")).load(HERE)
    with pytest.raises(ConfigError, match="8 pixels"):
        Outlines(size=4).load(HERE)


def test_a_class_may_be_left_out():
    left = leave_out(Outlines().load(HERE), ["3"])
    assert not (left.train.y == 3).any()
    assert (left.test.y == 3).any()


@pytest.mark.parametrize("name", ["mnist_usps", "usps_mnist"])
def test_two_sets_of_digits(real_data, name):
    from omegaconf import OmegaConf

    from dlcli.config import paths

    stated = OmegaConf.to_container(OmegaConf.load(paths.options("data")[name]))
    splits = build(stated["source"]).load(real_data)
    check(splits, 10)
    assert splits.train.size == 6291
    assert splits.test.size == 2007
    assert all(splits.facts[fact] == stated[fact] for fact in ("kind", "height", "classes", "names"))


@pytest.mark.parametrize(("source", "count", "far"), [(Ring(), 8, 2.0), (Grid(), 25, 4 * math.sqrt(2))])
def test_the_modes_are_stated_and_covered(source, count, far):
    splits = source.load(HERE)
    check(splits, splits.facts["classes"])
    centres = torch.tensor(splits.facts["modes"])
    assert len(centres) == count == splits.facts["classes"] == len(splits.facts["names"])
    assert centres.norm(dim=1).max().item() == pytest.approx(far)
    assert centres.mean(0).tolist() == pytest.approx([0, 0], abs=1e-6)
    found = fidelity.modes(splits.test.x, centres, splits.facts["spread"])
    assert found["modes"] == count
    assert found["good"] == pytest.approx(1 - math.exp(-4.5), abs=0.01)  # three deviations in the plane
    away = splits.train.x - centres[splits.train.y]
    assert away.std().item() == pytest.approx(splits.facts["spread"], rel=0.05)


def test_a_mode_needs_a_width():
    with pytest.raises(ConfigError, match="noise above 0"):
        Ring(noise=0.0).load(HERE)
