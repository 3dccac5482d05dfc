"""The state of a training: continued to the same bits, refused when a part is missing."""

import functools
import json

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from dlcli.data.loader import Resident
from dlcli.engine import checkpoint, randomness, state
from dlcli.engine.loop import Engine, Settings
from dlcli.engine.precision import Precision
from dlcli.engine.store import Store
from dlcli.errors import CheckpointError
from dlcli.model import Model, Update
from dlcli.schedules import Plateau

OPTIMIZERS = {
    "sgd": functools.partial(torch.optim.SGD, lr=0.05, momentum=0.9, nesterov=True),
    "adam": functools.partial(torch.optim.Adam, lr=1e-2, fused=True),
    "rprop": functools.partial(torch.optim.Rprop, lr=1e-2),
}


class Noisy(Model):
    """Two players, dropout and noise: everything that a resume can get wrong."""

    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(nn.Linear(4, 16), nn.BatchNorm1d(16), nn.Dropout(0.5), nn.Linear(16, 3))
        self.head = nn.Linear(4, 1)
        self.register_buffer("seen", torch.zeros(()))

    def players(self):
        return {"net": self.net.parameters(), "head": self.head.parameters()}

    def updates(self, batch, clock):
        yield Update(F.cross_entropy(self.net(batch.x + 0.1 * torch.randn_like(batch.x)), batch.y), "net")
        self.seen += 1
        if clock.step % 2:
            yield Update(self.head(batch.x).square().mean(), "head")

    def measure(self, batch):
        return {"loss": F.cross_entropy(self.net(batch.x), batch.y, reduction="none")}


def table():
    from dlcli.batch import Table

    generator = torch.Generator().manual_seed(3)
    return Table(torch.randn(50, 4, generator=generator), torch.randint(3, (50,), generator=generator))


def fresh(optimizer, epochs=4):
    randomness.seed_all(7)
    settings = Settings(seed=7, epochs=epochs, ema=0.9, every=3)
    precision = Precision(torch.device("cpu"), "fp32", clip=1.0)
    engine = Engine(Noisy(), optimizer, settings=settings, precision=precision, schedule=Plateau(patience=1))
    data = Resident(table(), size=16, seed=7)
    return engine, data, Resident(table(), size=50, shuffle=False)


class After:
    """A stop that comes after so many questions."""

    def __init__(self, count):
        self.left = count

    def __bool__(self):
        self.left -= 1
        return self.left < 0


@pytest.mark.parametrize("name", OPTIMIZERS)
@pytest.mark.parametrize("stops", [[1], [3], [4], [5], [6], [7], [2, 3, 1]])  # first, middle, last, scoring, next
def test_a_resumed_training_equals_the_unbroken_one_to_the_bit(tmp_path, name, stops):
    whole, data, valid = fresh(OPTIMIZERS[name])
    assert whole.fit(data, valid)
    store = Store(tmp_path)
    engine, data, valid = fresh(OPTIMIZERS[name])
    for count in stops:
        stop = After(count - 1)
        assert not engine.fit(data, valid, stop)
        store.save(engine.clock.step, *state.capture(engine))
        engine, data, valid = fresh(OPTIMIZERS[name])
        torch.manual_seed(99)  # whatever the new process did before must not matter
        state.restore(engine, *store.newest(), tmp_path)
    assert engine.fit(data, valid)
    ours, theirs = state.capture(engine)[0], state.capture(whole)[0]
    assert ours.keys() == theirs.keys()
    assert not [name for name in ours if not torch.equal(ours[name], theirs[name])]
    assert json.dumps(state.capture(engine)[1]) == json.dumps(state.capture(whole)[1])


@pytest.mark.parametrize("lost", ["clock", "optimizers", "scaler", "schedule", "best", "random", "position"])
def test_a_checkpoint_without_a_part_is_refused(lost):
    engine, data, valid = fresh(OPTIMIZERS["adam"])
    engine.fit(data, valid, After(1))
    tensors, plain = state.capture(engine)
    del plain[lost]
    with pytest.raises(CheckpointError, match=lost):
        state.restore(engine, tensors, plain, "run")


def test_weights_of_another_net_are_listed():
    engine, *_ = fresh(OPTIMIZERS["adam"])
    other = {"net.0.weight": torch.zeros(2, 2), "extra": torch.zeros(1)}
    with pytest.raises(
        CheckpointError, match=r"missing head\.bias.*unexpected extra.*shape \(2, 2\), the model \(16, 4\)"
    ):
        checkpoint.apply(engine.model, other, "run")
