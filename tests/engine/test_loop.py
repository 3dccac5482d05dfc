"""The engine's contract, its traps, and its equality with a hand-written loop."""

import functools
from typing import NamedTuple

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dlcli.engine.loop import Engine, Settings
from dlcli.engine.pieces import cut
from dlcli.engine.player import players
from dlcli.engine.precision import Precision, slowdown
from dlcli.errors import ConfigError, DivergedError, OutOfMemoryError
from dlcli.model import Model, Update
from dlcli.schedules import Linear, Plateau

ADAM = functools.partial(torch.optim.Adam, lr=1e-2)
CPU = torch.device("cpu")


class Batch(NamedTuple):
    x: Tensor  # (B, 4)
    y: Tensor  # (B,)

    @property
    def size(self) -> int:
        return len(self.x)


class Set:
    """A data set of ready batches."""

    def __init__(self, *batches):
        self.batches = batches

    def __len__(self):
        return len(self.batches)

    def epoch(self, epoch, start=0):
        yield from self.batches[start:]


class Plain(Model):
    """A classifier."""

    def __init__(self, width=8):
        super().__init__()
        self.net = nn.Sequential(nn.Linear(4, width), nn.Tanh(), nn.Linear(width, 3))

    def loss(self, batch):
        return F.cross_entropy(self.net(batch.x), batch.y)


class Duel(Model):
    """Two players: a critic on every batch, a generator on every second."""

    def __init__(self):
        super().__init__()
        self.generator, self.critic = nn.Linear(2, 4), nn.Sequential(nn.Linear(4, 8), nn.SiLU(), nn.Linear(8, 1))

    def players(self):
        return {"critic": self.critic.parameters(), "generator": self.generator.parameters()}

    def updates(self, batch, clock):
        fake = self.generator(torch.randn(batch.size, 2))
        yield Update(self.critic(fake.detach()).mean() - self.critic(batch.x).mean(), "critic")
        if clock.step % 2 == 0:
            yield Update(-self.critic(fake).mean(), "generator")


def batches(count=6, size=16):
    torch.manual_seed(1)
    return Set(*(Batch(torch.randn(size, 4), torch.randint(3, (size,))) for _ in range(count)))


def engine(model, optimizer=ADAM, schedule=None, precision="fp32", **settings):
    remedies = {k: settings.pop(k) for k in ("clip", "clip_value", "l1") if k in settings}
    return Engine(
        model,
        optimizer,
        settings=Settings(**settings),
        precision=Precision(CPU, precision, **remedies),
        schedule=schedule,
    )


def weights(model):
    return torch.cat([p.detach().flatten() for p in model.parameters()]).clone()


def test_equals_a_hand_written_loop_to_the_bit():
    data = batches()
    torch.manual_seed(0)
    ours = Plain()
    engine(ours, epochs=5).fit(data, data)
    torch.manual_seed(0)
    theirs = Plain()
    optimizer = torch.optim.Adam(theirs.parameters(), lr=1e-2)
    for _ in range(5):
        for batch in data.batches:
            theirs.loss(batch).backward()
            optimizer.step()
            optimizer.zero_grad()
    assert torch.equal(weights(ours), weights(theirs))


def test_two_players_equal_a_hand_written_duel_to_the_bit():
    data = batches()
    torch.manual_seed(0)
    ours = Duel()
    run = engine(ours)
    for step, batch in enumerate(data.batches):
        run.clock = run.clock._replace(step=step, steps=6)
        run.learn(batch)
    torch.manual_seed(0)
    theirs = Duel()
    critic = torch.optim.Adam(theirs.critic.parameters(), lr=1e-2)
    generator = torch.optim.Adam(theirs.generator.parameters(), lr=1e-2)
    for step, batch in enumerate(data.batches):
        fake = theirs.generator(torch.randn(batch.size, 2))
        (theirs.critic(fake.detach()).mean() - theirs.critic(batch.x).mean()).backward()
        critic.step()
        critic.zero_grad()
        if step % 2 == 0:
            (-theirs.critic(fake).mean()).backward()
            generator.step()
            theirs.zero_grad()
    assert torch.equal(weights(ours), weights(theirs))


def test_no_gradient_is_left_on_any_player():
    model = Duel()
    engine(model).learn(batches().batches[0])
    assert all(p.grad is None for p in model.parameters())


def test_a_yield_inside_no_grad_names_the_class():
    class Leaky(Plain):
        def updates(self, batch, clock):
            with torch.no_grad():
                yield Update(self.loss(batch))

    with pytest.raises(ConfigError, match=r"Leaky\.updates yields inside torch\.no_grad"):
        engine(Leaky()).learn(batches().batches[0])
    assert torch.is_grad_enabled()


def test_an_unknown_player_lists_the_players():
    class Typo(Duel):
        def updates(self, batch, clock):
            yield Update(self.critic(batch.x).mean(), "critc")

    with pytest.raises(ConfigError, match="no player 'critc'; its players are critic, generator"):
        engine(Typo()).learn(batches().batches[0])


def test_a_loss_computed_before_another_player_moved_is_an_error():
    class Stale(Duel):
        def updates(self, batch, clock):
            fake = self.generator(torch.randn(batch.size, 2))
            late = -self.critic(fake).mean()
            yield Update(self.critic(fake.detach()).mean(), "critic")
            yield Update(late, "generator")

    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        engine(Stale()).learn(batches().batches[0])


def test_no_yield_means_no_step_and_code_after_a_yield_sees_the_step():
    seen = []

    class Watcher(Plain):
        def updates(self, batch, clock):
            if clock.step == 0:
                return
            before = weights(self)
            yield Update(self.loss(batch))
            seen.append(not torch.equal(before, weights(self)))

    model, data = Watcher(), batches(2)
    start = weights(model)
    run = engine(model)
    run.learn(data.batches[0])
    assert torch.equal(start, weights(model))
    run.clock = run.clock._replace(step=1, steps=2)
    run.learn(data.batches[1])
    assert seen == [True]


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_a_loss_that_is_not_finite_stops_before_the_update(value):
    class Sick(Plain):
        def loss(self, batch):
            return super().loss(batch) * value

    model = Sick()
    before = weights(model)
    with pytest.raises(DivergedError, match=r"step 0: the loss of player 'model' is"):
        engine(model).learn(batches().batches[0])
    assert torch.equal(before, weights(model))


def test_a_gradient_that_is_not_finite_stops_before_the_update_when_clipped():
    class Steep(Plain):
        def loss(self, batch):
            return (self.net(batch.x) * 0).abs().sqrt().sum()  # value 0, slope not a number

    model = Steep()
    before = weights(model)
    with pytest.raises(DivergedError, match="gradient norm"):
        engine(model, clip=1.0).learn(batches().batches[0])
    assert torch.equal(before, weights(model))


def test_accumulation_gives_the_gradient_of_the_whole_batch():
    torch.manual_seed(0)
    whole, cut_up = Plain(), Plain()
    cut_up.load_state_dict(whole.state_dict())
    sgd = functools.partial(torch.optim.SGD, lr=0.1)
    batch = batches(1, size=15).batches[0]
    engine(whole, sgd).learn(batch)
    engine(cut_up, sgd, accumulate=4).learn(batch)
    assert [part.size for part in cut(batch, 4)] == [4, 4, 4, 3]
    torch.testing.assert_close(weights(whole), weights(cut_up), atol=1e-6, rtol=1e-5)


def test_accumulation_works_for_several_players():
    class Still(Duel):
        def updates(self, batch, clock):
            yield Update(self.critic(batch.x).square().mean(), "critic")
            yield Update(self.generator(batch.x[:, :2]).square().mean(), "generator")

    torch.manual_seed(0)
    whole, cut_up = Still(), Still()
    cut_up.load_state_dict(whole.state_dict())
    sgd = functools.partial(torch.optim.SGD, lr=0.1)
    batch = batches(1).batches[0]
    engine(whole, sgd).learn(batch)
    engine(cut_up, sgd, accumulate=2).learn(batch)
    torch.testing.assert_close(weights(whole), weights(cut_up), atol=1e-6, rtol=1e-5)


def test_running_out_of_memory_in_the_first_epoch_cuts_the_batch():
    class Big(Plain):
        def loss(self, batch):
            if batch.size > 5:
                raise torch.OutOfMemoryError("out of memory")
            return super().loss(batch)

    run = engine(Big())
    run.learn(batches(1, size=16).batches[0])
    assert run.pieces == 4
    run.clock = run.clock._replace(epoch=1)
    with pytest.raises(OutOfMemoryError, match="batch=32"):
        run.learn(batches(1, size=32).batches[0])


def test_clipping_limits_norm_and_value():
    sgd = functools.partial(torch.optim.SGD, lr=1.0)
    batch = batches(1).batches[0]
    for remedy, size in (("clip", lambda step: step.norm()), ("clip_value", lambda step: step.abs().max())):
        model = Plain()
        before = weights(model)
        engine(model, sgd, **{remedy: 1e-3}).learn(batch)
        assert size(weights(model) - before).item() == pytest.approx(1e-3, rel=1e-3)


def test_l1_adds_the_sign_of_the_weights_to_the_gradient():
    sgd = functools.partial(torch.optim.SGD, lr=0.1)
    torch.manual_seed(0)
    bare, lean = Plain(), Plain()
    lean.load_state_dict(bare.state_dict())
    before, batch = weights(bare), batches(1).batches[0]
    engine(bare, sgd).learn(batch)
    engine(lean, sgd, l1=0.5).learn(batch)
    torch.testing.assert_close(weights(bare) - weights(lean), 0.1 * 0.5 * before.sign(), atol=1e-6, rtol=1e-4)


def test_max_norm_shortens_the_incoming_weights_of_each_unit():
    model = Plain()
    engine(model, max_norm=0.3).learn(batches(1).batches[0])
    assert all(p.norm(dim=1).max() <= 0.3 + 1e-6 for p in model.parameters() if p.ndim > 1)


@pytest.mark.parametrize("groups", [1, 2])
def test_the_units_of_a_transposed_convolution_stand_in_its_second_axis(groups):
    model = nn.ConvTranspose2d(4, 6, 3, groups=groups)
    model.players = lambda: {"model": model.parameters()}
    (player,) = players(model, functools.partial(torch.optim.SGD, lr=0.1)).values()
    before = model.weight.detach().clone()
    before[:, 0] *= 0.01  # short already
    model.weight.data.copy_(before)
    player.shorten(0.3)
    inputs, outputs = 4 // groups, 6 // groups
    for unit in range(6):
        rows, column = slice(unit // outputs * inputs, (unit // outputs + 1) * inputs), unit % outputs
        share = (0.3 / before[rows, column].norm()).clamp(max=1)
        torch.testing.assert_close(model.weight[rows, column], before[rows, column] * share)


def test_schedule_scales_the_rate_of_each_step():
    model = Plain()
    rates = []

    class Spy(torch.optim.SGD):
        def step(self, closure=None):
            rates.append(self.param_groups[0]["lr"])
            return super().step(closure)

    engine(model, functools.partial(Spy, lr=1.0), Linear(), epochs=2).fit(batches(2), batches(2))
    assert rates == pytest.approx([1.0, 0.75, 0.5, 0.25])


def test_settings_by_player_and_by_layer():
    model = Duel()
    run = engine(model, players={"critic": {"lr": 0.5}}, layers={"generator.bias": {"lr": 0.25}})
    assert [g["lr"] for g in run.players["critic"].optimizer.param_groups] == [0.5]
    assert sorted(g["lr"] for g in run.players["generator"].optimizer.param_groups) == [0.01, 0.25]
    with pytest.raises(ConfigError, match=r"players\.critc: Duel has no such player"):
        engine(model, players={"critc": {"lr": 0.5}})
    with pytest.raises(ConfigError, match="no parameter is named like nothing"):
        engine(model, layers={"nothing": {"lr": 0.5}})


def test_average_is_the_exponential_mean_and_is_what_is_scored():
    model, data = Plain(), batches(3)
    seen = [weights(model)]
    run = engine(model, ema=0.9)
    for batch in data.batches:
        run.learn(batch)
        seen.append(0.9 * seen[-1] + 0.1 * weights(model))
    now = weights(model)
    with run.average.applied():
        torch.testing.assert_close(weights(model), seen[-1])
    assert torch.equal(weights(model), now)
    averaged = torch.cat([value.flatten() for value in run.weights().values()])
    torch.testing.assert_close(averaged, seen[-1])


def test_patience_stops_and_the_best_epoch_is_kept():
    class Scripted(Plain):
        script = iter([3.0, 1.0, 1.0, 2.0, 5.0, 0.0])

        def score(self, measured):
            return {"loss": next(self.script)}

    run = engine(Scripted(), epochs=6, patience=3)
    run.fit(batches(2), batches(1))
    assert (run.best.score, run.best.step, run.clock.epoch) == (1.0, 4, 5)


def test_patience_and_plateau_wait_for_the_last_stage():
    class Staged(Plain):
        def ahead(self, clock):
            return ["head"] if clock.step < 8 else []  # four epochs

        def score(self, measured):
            return {"loss": 1.0}

    schedule = Plateau(patience=0, factor=0.5)
    run = Engine(Staged(), ADAM, settings=Settings(epochs=9, patience=2), precision=Precision(CPU), schedule=schedule)
    factors = []
    run.fit(batches(2), batches(1), epoch_end=lambda scores: factors.append(schedule.memory["scale"]))
    assert (run.best.step, run.clock.epoch) == (2, 5)
    assert factors == [1.0, 1.0, 1.0, 1.0, 0.5]


def test_looking_at_a_model_does_not_change_its_training():
    class Noisy(Plain):
        def loss(self, batch):
            return super().loss(batch._replace(x=batch.x + torch.randn_like(batch.x)))

    ends, data, looked_at = [], batches(), batches(1)
    for looks in (0, 3):
        torch.manual_seed(0)
        model = Noisy()
        run = engine(model)
        for batch in data.batches:
            for _ in range(looks):
                run.score(looked_at)
                model.train()
            run.learn(batch)
        ends.append(weights(model))
    assert torch.equal(*ends)


def test_fp16_scales_and_steps_and_skips_overflow_in_silence():
    model = Plain()
    before = weights(model)
    run = engine(model, functools.partial(torch.optim.SGD, lr=0.1), precision="fp16")
    run.precision.scaler._init_scale = 2.0**40  # overflows half precision: the first steps must be skipped
    run.learn(batches(1).batches[0])
    assert torch.equal(before, weights(model))
    for _ in range(40):
        run.learn(batches(1).batches[0])
    assert not torch.equal(before, weights(model))
    assert torch.isfinite(weights(model)).all()


def test_hand_written_gradients_need_no_loss_and_cannot_be_cut():
    class Rule(Plain):
        def updates(self, batch, clock):
            for p in self.parameters():
                p.grad = torch.ones_like(p)
            yield Update(None)

    model = Rule()
    before = weights(model)
    engine(model, functools.partial(torch.optim.SGD, lr=0.5)).learn(batches(1).batches[0])
    torch.testing.assert_close(before - weights(model), torch.full_like(before, 0.5))
    with pytest.raises(ConfigError, match="writes its gradients itself"):
        engine(Rule(), accumulate=2).learn(batches(1).batches[0])


def test_a_model_without_players_may_take_no_step():
    class Closed(Model):
        def __init__(self):
            super().__init__()
            self.register_buffer("mean", torch.zeros(4))

        def players(self):
            return {}

        def updates(self, batch, clock):
            self.mean.copy_(batch.x.mean(0))
            return iter(())

        def measure(self, batch):
            return {"loss": (batch.x - self.mean).square().mean(1)}

    model, data = Closed(), batches(1)
    engine(model, epochs=1).fit(data, data)
    torch.testing.assert_close(model.mean, data.batches[0].x.mean(0))


@pytest.mark.parametrize(("times", "name", "told"), [(1.4, "bf16", 0), (116.0, "fp16", 1), (116.0, "fp32", 0)])
def test_a_type_that_the_processor_must_emulate_is_told(monkeypatch, times, name, told):
    monkeypatch.setattr("dlcli.engine.precision.slowdown", lambda kind: times)
    notes = Precision(CPU, name).notes()
    assert len(notes) == told
    assert all(f"precision={name}: products take 116 times as long as in fp32" in note for note in notes)


def test_a_number_type_is_about_as_fast_as_itself():
    assert 0.1 < slowdown(torch.float32) < 10
