"""Every example once in an epoch, the same batches after a resume, pixels in [0, 1]."""

import pytest
import torch

from dlcli.batch import Images, Table
from dlcli.data.augment import Chain, Noise, Shift
from dlcli.data.loader import Resident
from dlcli.errors import ConfigError, DataError


def table(rows):
    return Table(torch.arange(rows).float()[:, None].repeat(1, 3), torch.arange(rows))


def pictures(count):
    generator = torch.Generator().manual_seed(0)
    return Images(
        torch.randint(0, 256, (count, 2, 5, 4), dtype=torch.uint8, generator=generator), torch.arange(count) % 7
    )


@pytest.mark.parametrize(("rows", "size"), [(20, 4), (22, 4), (23, 4), (7, 7), (30, 1)])
def test_each_epoch_is_a_permutation(rows, size):
    loader = Resident(table(rows), size=size, seed=3)
    seen = [torch.cat([batch.y for batch in loader.epoch(e)]) for e in range(3)]
    for order in seen:
        assert torch.equal(order.sort().values, torch.arange(rows))
    assert not torch.equal(seen[0], seen[1])
    assert not torch.equal(seen[1], seen[2])
    assert len(loader) == len(list(loader.epoch(0))) == -(-rows // size)
    assert loader.examples == rows


def test_rows_stay_together():
    for batch in Resident(table(22), size=4).epoch(0):
        assert torch.equal(batch.x[:, 0].long(), batch.y)


def test_a_lone_last_example_waits_for_another_epoch():
    loader = Resident(table(21), size=4)
    assert len(loader) == 5
    left_out = {(set(range(21)) - set(torch.cat([b.y for b in loader.epoch(e)]).tolist())).pop() for e in range(40)}
    assert len(left_out) > 10
    still = Resident(table(21), size=4, shuffle=False)
    assert [batch.size for batch in still.epoch(0)] == [4, 4, 4, 4, 4, 1]


@pytest.mark.parametrize("shuffle", [True, False])
@pytest.mark.parametrize("augment", [None, Chain(steps=[Shift(pixels=1), Noise(std=0.2)])])
def test_a_resumed_epoch_is_the_tail(shuffle, augment):
    loader = Resident(pictures(30), size=4, seed=1, shuffle=shuffle, augment=augment)
    whole = list(loader.epoch(2))
    for start in range(len(loader) + 1):
        tail = list(Resident(pictures(30), size=4, seed=1, shuffle=shuffle, augment=augment).epoch(2, start))
        assert len(tail) == len(whole) - start
        for one, other in zip(tail, whole[start:], strict=True):
            assert torch.equal(one.x, other.x)
            assert torch.equal(one.y, other.y)


def test_the_seed_decides_and_nothing_else():
    def order(seed):
        return torch.cat([batch.y for batch in Resident(table(40), size=8, seed=seed).epoch(0)])

    first = order(0)
    torch.manual_seed(99)
    state = torch.get_rng_state()
    assert torch.equal(order(0), first)
    assert torch.equal(torch.get_rng_state(), state)  # the run's own generator is left alone
    assert not torch.equal(order(1), first)


def test_bytes_become_floats():
    data = pictures(12)
    for shuffle in (True, False):
        for batch in Resident(data, size=5, shuffle=shuffle).epoch(0):
            assert batch.x.dtype == torch.float32
            assert 0 <= batch.x.min() <= batch.x.max() <= 1
    served = next(Resident(data, size=12, shuffle=False).epoch(0))
    assert torch.equal(served.x, data.x / 255)
    assert data.x.dtype == torch.uint8


def test_take_picks_without_augmenting():
    data = pictures(12)
    loader = Resident(data, size=4, augment=Noise(std=0.5))
    batch = loader.take([7, 0, 7])
    assert torch.equal(batch.x, data.x[[7, 0, 7]] / 255)
    assert batch.y.tolist() == [0, 0, 0]
    assert torch.equal(loader.take(torch.tensor([3])).x, data.x[3:4] / 255)


def test_augmentation_of_an_example_depends_on_epoch_not_on_batch():
    data = pictures(24)._replace(y=torch.arange(24))

    def epoch(size, number, shuffle):
        batches = list(Resident(data, size=size, augment=Noise(std=0.1), shuffle=shuffle).epoch(number))
        order = torch.cat([batch.y for batch in batches]).argsort()
        return torch.cat([batch.x for batch in batches])[order]

    assert torch.equal(epoch(4, 0, True), epoch(24, 0, False))
    assert not torch.equal(epoch(4, 0, True), epoch(4, 1, True))


def test_limit_takes_a_share_of_all_classes():
    data = Table(torch.zeros(1000, 1), torch.arange(1000) // 500)  # sorted by class
    kept = Resident(data, size=10, limit=0.1, seed=4)
    assert kept.examples == 100
    assert 30 <= kept.data.y.sum() <= 70
    assert torch.equal(kept.data.y, Resident(data, size=20, limit=0.1, seed=4).data.y)
    assert Resident(table(3), size=1, limit=0.01).examples == 1


@pytest.mark.parametrize("limit", [0.0, -0.1, 1.5])
def test_limit_out_of_range(limit):
    with pytest.raises(ConfigError, match=r"share of the examples to keep, in \(0, 1\]"):
        Resident(table(10), size=2, limit=limit)


def test_a_batch_must_fit():
    with pytest.raises(DataError, match=r"10 examples but a batch takes 64.*set batch=10"):
        Resident(table(10), size=64)
    assert [batch.size for batch in Resident(table(10), size=64, shuffle=False).epoch(0)] == [10]


def test_rows_cannot_be_augmented():
    with pytest.raises(ConfigError, match=r"augment=Shift got rows of shape \(3,\).*augment=none"):
        Resident(table(10), size=2, augment=Shift())
    assert Resident(table(10), size=2, augment=Chain()).augment is None
