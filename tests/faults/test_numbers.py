"""Numbers that are none, explode or overflow: the run stops in one clear line, and what it saved before stands."""

import functools
import json

import harness
import pytest
import torch
from harness import assert_same, begin, finished, only_run, wait
from torch import nn

from dlcli.batch import Table
from dlcli.config import paths
from dlcli.data.loader import Resident
from dlcli.engine.loop import Engine, Settings
from dlcli.engine.precision import Precision
from dlcli.engine.stopping import Best
from dlcli.engine.store import Store
from dlcli.errors import DivergedError
from dlcli.model import Model, Update


def test_no_number_is_never_the_best_and_of_equal_ones_the_first_is():
    """F37."""
    for rising in (True, False):
        best = Best("score", rising)
        scores = [float("nan"), 0.5, float("nan"), 0.5, float("inf"), -float("inf"), 0.5]
        assert [best.improved(score, step) for step, score in enumerate(scores)] == [False, True, *[False] * 5]
        assert (best.score, best.step) == (0.5, 1)


def test_a_state_that_is_no_number_is_not_kept(warm, tmp_path):
    """N04: weights that somebody spoiled by hand; the last state that holds is finite, and the run goes on from it."""
    config, unbroken = warm

    def trap():
        real = Engine.learn

        def learn(self, batch):
            real(self, batch)
            if self.clock.step == 9:
                next(self.model.parameters()).data[0] = float("nan")

        Engine.learn = learn

    assert wait(begin(config, tmp_path, trap)) == 4
    assert "not a finite number" in (tmp_path / "said.txt").read_text()
    run = only_run(tmp_path)
    assert harness.step(run) == 5
    assert json.loads((run / "status.json").read_text())["state"] == "stopped"
    assert_same(finished(config, tmp_path), unbroken)


@pytest.mark.parametrize("value", ["nan", "inf", "-inf"])
@pytest.mark.parametrize("at", [8, 9])
def test_a_loss_that_is_no_number_stops_before_the_update(warm, tmp_path, value, at):
    """N01, N02, N05: on a step that is logged and on one that is not."""
    from dlcli.models.classifier import Classifier

    config, unbroken = warm

    def trap():
        real, count = Classifier.loss, [0]

        def loss(self, batch):
            count[0] += 1
            return real(self, batch) * (float(value) if count[0] == at else 1)

        Classifier.loss = loss

    assert wait(begin(config, tmp_path, trap)) == 4
    said = (tmp_path / "said.txt").read_text()
    assert f"step {at - 1}: the loss of player 'model' is {value}" in said
    assert "Traceback" not in said
    assert_same(finished(config, tmp_path), unbroken)


@pytest.mark.parametrize(
    ("changes", "same"), [([], True), (["log.every=1", "log.histograms=true"], True), (["seed=1"], False)]
)
def test_the_seed_alone_decides(warm, tmp_path, changes, same):
    """N19, N21, N23: repeats and any logging give the same bits, another seed gives others."""
    _, unbroken = warm
    config = harness.composed(*harness.WORDS, *changes)
    run = finished(config, tmp_path)
    states = [Store(path / "checkpoints").newest()[0] for path in (run, unbroken)]
    weights = [name for name in states[0] if name.startswith(("model/", "average/", "best/", "optimizer/", "random/"))]
    assert len(weights) > 10
    assert all(torch.equal(states[0][name], states[1][name]) for name in weights) == same


class Line(Model):
    """One weight, and a loss that a test decides."""

    def __init__(self, loss):
        super().__init__()
        self.weight, self.of = nn.Parameter(torch.ones(1)), loss

    def updates(self, batch, clock):
        yield Update(self.of(self.weight, clock.step))

    def measure(self, batch):
        return {"loss": self.weight.expand(batch.size)}


def engine(loss, *, precision="fp32", rate=0.01, **settings):
    """Return an engine and the data to train it on: three steps an epoch."""
    data = Resident(Table(torch.zeros(12, 1), torch.zeros(12)), size=4)
    sgd = functools.partial(torch.optim.SGD, lr=rate)
    precise = Precision(torch.device("cpu"), precision)
    return Engine(Line(loss), sgd, settings=Settings(**settings), precision=precise), data


def steep(weight, step):
    """Return a loss of 0 whose slope is no number at step 4."""
    return ((weight - weight) if step == 4 else weight).abs().sqrt().sum()


def test_a_gradient_that_is_no_number_is_found_at_the_next_step_at_the_latest():
    """N03: the loss is finite, and nobody clips."""
    run, data = engine(steep)
    with pytest.raises(DivergedError, match=r"step 5: the loss .* is nan; the step before has spoiled the weights"):
        run.fit(data, data)


def test_a_gradient_that_is_no_number_is_found_before_the_update_where_norms_are_looked_at():
    """N03."""
    run, data = engine(steep, every=5)
    run.log = type("Log", (), {"scalars": lambda *_: None, "tick": lambda *_: None})()
    with pytest.raises(DivergedError, match=r"step 4: the gradient norm .* is nan; the weights are as they were"):
        run.fit(data, data)
    assert run.model.weight.isfinite()


def test_fp16_overflows_without_end_stop_the_run_at_the_fiftieth():
    """N06, N07: a loss that is finite, a gradient that never is; nothing has moved."""
    run, data = engine(lambda weight, step: (weight - weight).abs().sqrt().sum(), precision="fp16", epochs=40)
    with pytest.raises(DivergedError, match=r"step 49: the gradient .* overflows fp16 .* from 65536 to 6e-11"):
        run.fit(data, data)
    assert run.model.weight.item() == 1


def test_fp16_overflows_with_an_end_do_not():
    """N06."""
    run, data = engine(lambda weight, step: (weight * (1e36 if step == 2 else 1)).sum(), precision="fp16", epochs=4)
    assert run.fit(data, data)
    assert run.model.weight.item() == pytest.approx(1 - 11 * 0.01)


@pytest.mark.parametrize(("since", "found"), [(1, 3), (3, 6), (5, 9)])
def test_a_loss_that_has_exploded_ends_the_run(since, found):
    """N09: in the first epoch or a later one, once most of its losses are a thousand times the first."""
    run, data = engine(lambda weight, step: weight.sum() * (5e3 if step >= since else 1), rate=1e-9)
    with pytest.raises(DivergedError, match=f"step {found}: the loss of player 'model' exploded"):
        run.fit(data, data)


def test_a_spike_is_told_with_its_examples_once_an_epoch():
    """N08: steps 4 and 5 jump in the second epoch, step 7 in the third; the run goes on."""
    jumps = {4: 150.0, 5: 500.0, 7: 9e3, 8: 0.5}
    run, data = engine(lambda weight, step: weight.sum() * jumps.get(step, 1), rate=1e-9, epochs=3)
    said = []
    log = {"scalars": lambda *_: None, "tick": lambda *_: None, "say": lambda _, text: said.append(text)}
    run.log = type("Log", (), log)()
    assert run.fit(data, data)
    batches = [data.rows(1, 1), data.rows(2, 1)]
    assert [line.split(":")[1] for line in said] == [" step 4", " step 7"]
    assert "jumped to 150, more than 100 times" in said[0]
    for line, rows in zip(said, batches, strict=True):
        assert f"examples {', '.join(map(str, rows.tolist()))}." in line


def test_the_rows_of_a_batch_are_those_that_it_serves():
    """N08: whole batches and the last one, shuffled and not."""
    x = torch.arange(10.0)[:, None]
    for shuffle in (True, False):
        data = Resident(Table(x, x[:, 0]), size=4, shuffle=shuffle, seed=3)
        for epoch in range(2):
            for number, batch in enumerate(data.epoch(epoch)):
                assert torch.equal(batch.y, x[data.rows(epoch, number), 0])


def test_spikes_and_losses_below_zero_end_nothing():
    """N08: a spike ends nothing; nor is a critic whose loss falls without end, within reason."""
    run, data = engine(lambda weight, step: weight.sum() * (1e9 if step % 3 == 1 else -900), rate=1e-30)
    assert run.fit(data, data)


def test_scores_that_are_never_a_number_do_not_end_as_done():
    """N09: the losses look well, and no epoch is the best."""
    for value, said in (
        ("nan", "loss: not a number for 12 of 12 examples"),
        ("inf", "loss: not a finite number in any"),
    ):
        run, data = engine(lambda weight, step: weight.sum(), epochs=2)
        run.model.measure = lambda batch, value=value: {"loss": torch.full((batch.size,), float(value))}
        with pytest.raises(DivergedError, match=said):
            run.fit(data, data)


@pytest.mark.parametrize("rate", [1e6, 1e9])
@pytest.mark.parametrize("optimizer", sorted(paths.options("optimizer").keys() - {"rprop"}))  # it finds its own rate
def test_a_rate_beyond_reason_does_not_end_as_done(warm, tmp_path, optimizer, rate):
    """N09."""
    words = [f"optimizer={optimizer}", f"optimizer.lr={rate:f}", "schedule=constant", "ema=null", "epochs=1"]
    assert wait(begin(harness.composed(*harness.WORDS, *words), tmp_path)) == 4, (tmp_path / "said.txt").read_text()
    assert (tmp_path / "said.txt").read_text().count("Try a smaller optimizer.lr") == 1
    assert json.loads((only_run(tmp_path) / "status.json").read_text())["state"] == "stopped"
