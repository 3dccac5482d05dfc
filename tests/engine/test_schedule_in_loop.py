"""The loop tells a schedule with a memory whether the score got better, whichever way is up."""

import functools

import torch

from dlcli.engine.loop import Engine, Settings
from dlcli.engine.precision import Precision
from dlcli.model import Model
from dlcli.schedules import Plateau


class Scripted(Model):
    """A model whose scores are given."""

    def __init__(self, rising, script):
        super().__init__()
        self.weight, self.script = torch.nn.Parameter(torch.ones(1)), iter(script)
        self.rising = {"loss"} if rising else set()

    def loss(self, batch):
        return self.weight.sum()

    def score(self, measured):
        return {"loss": next(self.script)}


class One:
    """A data set of one batch."""

    size = 1

    def __len__(self):
        return 1

    def epoch(self, epoch, start=0):
        yield self


def factor(rising, script):
    engine = Engine(
        Scripted(rising, script),
        functools.partial(torch.optim.SGD, lr=1.0),
        settings=Settings(epochs=len(script)),
        precision=Precision(torch.device("cpu"), "fp32"),
        schedule=Plateau(factor=0.1, patience=0),
    )
    engine.fit(One(), One())
    return engine.schedule(0.0)


def test_plateau_cuts_when_the_score_gets_worse_whichever_way_is_up():
    rising, falling = [0.1, 0.2, 0.3], [0.3, 0.2, 0.1]
    assert factor(True, rising) == factor(False, falling) == 1.0
    assert round(factor(True, falling), 6) == round(factor(False, rising), 6) == 0.01
