"""What is frozen does not move by a bit, layers wake when they should, and rates fall from the output to the input."""

import functools

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dlcli.engine import checkpoint, state
from dlcli.engine.freezing import freeze, heights
from dlcli.engine.loop import Engine, Settings
from dlcli.engine.player import players
from dlcli.engine.precision import Precision
from dlcli.errors import ConfigError
from dlcli.model import Model, Update
from dlcli.nets.layers import Normalize

ADAM = functools.partial(torch.optim.Adam, lr=1e-2)
SGD = functools.partial(torch.optim.SGD, lr=1e-1)


class Batch(tuple):
    """Rows and their classes."""

    x = property(lambda self: self[0])
    y = property(lambda self: self[1])
    size = property(lambda self: len(self[0]))


class Set:
    """A data set of ready batches."""

    def __init__(self, count=10):
        torch.manual_seed(1)
        self.batches = [Batch((torch.randn(16, 4) + 2, torch.randint(3, (16,)))) for _ in range(count)]

    def __len__(self):
        return len(self.batches)

    def epoch(self, epoch, start=0):
        yield from self.batches[start:]


class Plain(Model):
    """Three linear layers; the first two have a batch norm behind them."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.net = nn.Sequential(
            Normalize(mean=[2.0] * 4, std=[1.0] * 4),
            nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Tanh(),
            nn.Linear(8, 8), nn.BatchNorm1d(8), nn.Tanh(),
            nn.Linear(8, 3),
        )  # fmt: skip

    def loss(self, batch):
        return F.cross_entropy(self.net(batch.x), batch.y)


class ByHand(Plain):
    """Writes its gradients itself, as an RBM does."""

    def updates(self, batch, clock):
        for p in self.parameters():
            p.grad = torch.ones_like(p)
        yield Update(None)


def engine(model, optimizer=ADAM, **settings):
    return Engine(model, optimizer, settings=Settings(**settings), precision=Precision(torch.device("cpu"), "fp32"))


def moved(model, before: dict[str, Tensor]) -> set[str]:
    """Return the layers of which anything is not what it was."""
    return {name.split(".")[1] for name, value in model.state_dict().items() if not value.equal(before[name])}


def copy(model) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in model.state_dict().items()}


@pytest.mark.parametrize("optimizer", [ADAM, functools.partial(torch.optim.AdamW, lr=0.1, weight_decay=0.5), SGD])
@pytest.mark.parametrize(
    ("patterns", "learning"),
    [
        ({"freeze": ["net.1.*"]}, {"2", "4", "5", "7"}),
        ({"freeze": ["net.1.*", "net.2.*"]}, {"4", "5", "7"}),
        ({"learn": ["net.7.*"]}, {"7"}),
        ({"learn": ["net.5.*", "net.7.*"], "freeze": ["net.7.bias"]}, {"5", "7"}),
    ],
)
def test_what_is_frozen_keeps_every_bit(optimizer, patterns, learning):
    model, data = Plain(), Set()
    before = copy(model)
    run = engine(model, optimizer, epochs=2, ema=0.5, **patterns)
    run.fit(data, data)
    assert moved(model, before) == learning
    assert model.net[7].bias.equal(before["net.7.bias"]) == ("net.7.bias" in patterns.get("freeze", ()))
    state, _ = checkpoint.flatten(run.players["model"].optimizer)
    assert {int(key.split("/")[0]) for key in state} <= set(range(sum(p.requires_grad for p in model.parameters())))


def test_a_frozen_batch_norm_answers_in_training_as_in_evaluation():
    model, data = Plain(), Set(1)
    held = freeze(model, ["net.2.*"], [])
    assert held == [model.net[2]]
    run = engine(model, freeze=["net.2.*"])
    run.train_epoch(data, lambda: True)
    assert not model.net[2].training
    assert model.net[5].training
    free = Plain()
    freeze(free, ["net.2.weight", "net.2.bias"], [])  # the parameters alone: the statistics follow the data
    assert free.net[2].weight.requires_grad is False
    assert freeze(Plain(), ["net.2.weight"], []) == []


def test_a_pattern_that_fits_nothing_names_what_is_near():
    with pytest.raises(ConfigError, match=r"freeze: nothing is named like net\.8\.weight; there is net\.[1-7]\.weight"):
        freeze(Plain(), ["net.8.weight"], [])
    with pytest.raises(ConfigError, match="learn: nothing is named like head"):
        freeze(Plain(), [], ["head"])


def test_nothing_left_to_learn_is_told():
    with pytest.raises(ConfigError, match="nothing of player model is left to learn"):
        engine(Plain(), freeze=["*"])


def test_heights_count_the_layers_to_the_output():
    model = Plain()
    above = heights(model.named_parameters())
    found = {name: above[id(p)] for name, p in model.named_parameters()}
    assert found["net.1.weight"] == found["net.1.bias"] == found["net.2.weight"] == 2
    assert found["net.4.weight"] == found["net.5.bias"] == 1
    assert found["net.7.weight"] == found["net.7.bias"] == 0
    assert heights([]) == {}
    scale = nn.Parameter(torch.ones(3))
    assert heights([("scale", scale)]) == {id(scale): 0}


def test_each_layer_has_the_rate_of_the_next_one_times_the_decay():
    model = Plain()
    run = engine(model, SGD, layer_decay=0.5, layers={"net.4.*": {"lr": 1.0}})
    player = run.players["model"]
    player.scale(2.0)
    rate = {id(p): group["lr"] for group in player.optimizer.param_groups for p in group["params"]}
    rates = {name: rate[id(p)] for name, p in model.named_parameters()}
    assert rates["net.7.weight"] == rates["net.7.bias"] == pytest.approx(0.2)
    assert rates["net.4.weight"] == pytest.approx(2.0 * 1.0 * 0.5)
    assert rates["net.5.weight"] == pytest.approx(0.2 * 0.5)
    assert rates["net.1.weight"] == rates["net.2.bias"] == pytest.approx(0.2 * 0.25)


def test_without_decay_the_groups_stay_one():
    assert len(players(Plain(), ADAM)["model"].optimizer.param_groups) == 1


@pytest.mark.parametrize("kind", [Plain, ByHand])
@pytest.mark.parametrize(("thaw", "steps"), [(0.6, (0, 3, 6)), (1.0, (0, 5, None)), (0.1, (0, 1, 1)), (0.0, (0, 0, 0))])
def test_layers_wake_one_after_the_other(kind, thaw, steps):
    model, data = kind(), Set(10)
    run = engine(model, functools.partial(torch.optim.AdamW, lr=1e-2, weight_decay=0.1), thaw=thaw, epochs=1)
    first: dict[str, int] = {}
    run.clock = run.clock._replace(steps=10)
    for step, batch in enumerate(data.batches):
        before = {name: p.detach().clone() for name, p in model.named_parameters()}
        run.clock = run.clock._replace(step=step)
        run.learn(batch)
        for name, p in model.named_parameters():
            if not p.equal(before[name]):
                first.setdefault(name.split(".")[1], step)
        assert all(p.grad is None for p in model.parameters())
    assert (first.get("7"), first.get("4"), first.get("1")) == steps
    assert (first.get("5"), first.get("2")) == steps[1:]


def test_thaw_and_decay_resume_to_the_same_bits():
    data = Set(10)
    settings = {"epochs": 2, "thaw": 0.7, "layer_decay": 0.7, "freeze": ["net.1.*"]}

    class Halt:
        left = 7

        def __bool__(self):
            return self.left <= 0

        def step(self):
            self.left -= 1

    def run(stop=None):
        made = engine(Plain(), **settings)
        return made, stop

    whole, _ = run()
    whole.fit(data, data)
    part, halt = run(Halt())
    part.fit(data, data, halt, halt.step)
    assert part.clock.step == 7
    saved = checkpoint.encode(*state.capture(part))
    rest, _ = run()
    state.restore(rest, *checkpoint.decode(saved, "here"), "here")
    rest.fit(data, data)
    ends = [state.capture(made)[0] for made in (whole, rest)]
    assert ends[0].keys() == ends[1].keys()
    assert all(value.equal(ends[1][name]) for name, value in ends[0].items())
