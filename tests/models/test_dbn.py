"""Deep belief nets: what each stage may touch, what they learn, three ways to classify, and what they draw."""

from dataclasses import fields

import pytest
import torch
import torch.nn.functional as F
from sklearn.datasets import load_digits, load_wine
from torch import nn

from dlcli.batch import Images, Table
from dlcli.engine.stopping import Best
from dlcli.errors import ConfigError, DataError
from dlcli.model import Clock
from dlcli.models.contrastive import Sparsity
from dlcli.models.dbn import DBN
from dlcli.models.dbn_joint import JointDBN
from dlcli.models.dbn_per_class import DBNPerClass
from dlcli.models.greedy import Greedy, Memory
from dlcli.models.stages import ROW, Stages
from dlcli.nets.dbn import DeepBelief, FreeEnergies
from dlcli.nets.mlp import MLP
from dlcli.samplers import Gibbs, Interpolation, Prior

SHAPE = [1, 8, 8]


def digits() -> Images:
    """Return the 1797 handwritten digits of 8x8 pixels."""
    x, y = load_digits(return_X_y=True)
    return Images(torch.tensor(x / 16).float().view(-1, 1, 8, 8), torch.tensor(y).long())


def dbn(widths=(48, 32), net_widths=None, **more) -> DBN:
    """Return a small deep belief net with a classifier; shares of stages, and how layers learn, are named."""
    named = {field.name: more.pop(field.name) for field in fields(Stages) if field.name in more}
    shares = {"pretrain": [1.0] * len(widths), "head": 0.5, "model": 2.0} | named
    return DBN(
        net=MLP(inputs=64, widths=net_widths or widths, outputs=10, activation="sigmoid"),
        generator=DeepBelief(shape=SHAPE, widths=widths, scale=0.2),
        stages=Stages(**shares),
        classes=10,
        **more,
    )


def joint(widths=(48, 96), **more) -> JointDBN:
    """Return a small deep belief net of picture and label."""
    net = DeepBelief(shape=SHAPE, widths=widths, labels=10, scale=0.1)
    return JointDBN(net=net, stages=Stages(pretrain=[1.0] * len(widths)), classes=10, **more)


def per_class(classes=10, widths=(16,), **more) -> DBNPerClass:
    """Return a small deep belief net for each class."""
    net = FreeEnergies(classes=classes, shape=SHAPE, widths=widths)
    stages = Stages(pretrain=[3.0 / len(widths)] * len(widths), head=1.0)
    return DBNPerClass(net=net, stages=stages, classes=classes, **more)


def train(model, data, steps, begin=0, end=None, rate=5e-3):
    """Run the shortest training loop that obeys the contract."""
    players = {name: list(parameters) for name, parameters in model.players().items()}
    optimizers = {name: torch.optim.Adam(own, lr=rate) for name, own in players.items() if own}
    model.train()
    for step in range(begin, end or steps):
        chosen = torch.randint(data.size, (32,))
        for update in model.updates(type(data)(data.x[chosen], data.y[chosen]), Clock(step, steps)):
            optimizer = optimizers[update.player]
            if update.loss is not None:
                optimizer.zero_grad()
                update.loss.backward(inputs=players[update.player])
            optimizer.step()
            model.zero_grad()
    return model.eval()


def changed(before, model) -> set[str]:
    """Return the names of the parts of a model whose weights differ from what they were."""
    return {name for name, value in model.state_dict().items() if not value.equal(before[name])}


def snapshot(model) -> dict:
    """Return a copy of all weights."""
    return {name: value.clone() for name, value in model.state_dict().items()}


def accuracy(model, data) -> float:
    """Return the share of examples that are taken for what they are."""
    with torch.no_grad():
        return (model(data.x).argmax(1) == data.y).double().mean().item()


def test_each_stage_touches_what_it_may_and_nothing_else():
    model, data = dbn(), digits()
    before = snapshot(model)
    train(model, data, 90, 0, 19)
    memory = {"memory.kept", "memory.seen"}
    first = {f"generator.layers.0.{name}" for name in ("weight", "visible_bias", "hidden_bias")}
    assert changed(before, model) == first | memory
    train(model, data, 90, 19, 20)  # the last step of the first layer
    recognition = {"generator.recognition.0.weight", "generator.recognition.0.bias"}
    hidden = {f"net.layers.{i}.{name}" for i in (1, 3) for name in ("weight", "bias")}
    assert changed(before, model) == first | memory | recognition | hidden
    assert model.net.layers[1].weight.equal(model.generator.layers[0].weight)
    assert model.generator.recognition[0].bias.equal(model.generator.layers[0].hidden_bias)
    before = snapshot(model)
    train(model, data, 90, 20, 40)
    second = {name.replace("layers.0", "layers.1") for name in first}
    assert changed(before, model) == second | {"net.layers.3.weight", "net.layers.3.bias"}
    before = snapshot(model)
    train(model, data, 90, 40, 50)
    assert changed(before, model) == {"net.layers.5.weight", "net.layers.5.bias"}
    before = snapshot(model)
    train(model, data, 90, 50, 90)
    assert changed(before, model) == {name for name in before if name.startswith("net.")}


def test_the_classifier_begins_as_the_way_up_of_the_deep_belief_net():
    model, data = dbn(model=0.0), digits()
    train(model, data, 60)
    codes = model.embed(Images(data.x[:9], data.y[:9]))
    torch.testing.assert_close(model.net.layers[-1](codes), model(data.x[:9]))


def test_it_learns_to_classify_and_stays_a_model_of_its_inputs():
    model, data = dbn(), digits()
    train(model, data, 900, rate=1e-2)
    assert accuracy(model, data) > 0.93
    x = data.x[:200]
    error = (model.rebuild(x) - x).square().mean()
    assert error < 0.8 * (x.mean(0) - x).square().mean()
    measured = model.measure(Images(x, data.y[:200]))
    scores = model.score(measured)
    assert {"loss", "accuracy", "reconstruction 0", "reconstruction 1"} <= scores.keys()
    assert scores["reconstruction 0"] < 0.5 * (x.mean(0) - x).square().mean()
    assert model.monitor == "accuracy"


def test_without_pretraining_it_is_a_perceptron_with_sigmoids():
    model = dbn(pretrain=[0, 0], head=0)
    before = snapshot(model)
    train(model, digits(), 5)
    assert changed(before, model) == {name for name in before if name.startswith("net.")}


@pytest.mark.parametrize("mean_field", [True, False])
def test_the_second_layer_learns_from_probabilities_or_from_draws(mean_field):
    net, x = DeepBelief(shape=SHAPE, widths=[48, 32]), digits().x[:16]
    greedy, seen = Greedy(net, Stages(pretrain=[1, 1]), mean_field=mean_field), []
    greedy.write = lambda layer, v: seen.append(v)
    greedy.contrast(x, 1)
    assert seen[0].eq(seen[0].round()).all() != mean_field


@pytest.mark.parametrize("make", [dbn, joint, per_class])
def test_each_layer_learns_as_an_rbm_is_told(make):
    given = {"steps": 3, "hidden_samples": True, "visible_samples": False, "sparsity": Sparsity(weight=0.5)}
    model = make(**given)
    greedy = model.greedy[0] if make is per_class else model.greedy
    for rule in greedy.rules:
        assert {name: getattr(rule, name) for name in given} == given
    plain = make().greedy[0] if make is per_class else make().greedy
    rule = plain.rules[0]
    assert (rule.steps, rule.hidden_samples, rule.visible_samples, rule.sparsity.weight) == (1, False, True, 0)


def test_sparse_layers_are_on_less_often():
    shares = []
    for weight in (0.0, 3.0):
        torch.manual_seed(0)
        model, data = dbn(head=0, model=0, sparsity=Sparsity(weight=weight, target=0.05)), digits()
        train(model, data, 200, rate=2e-2)
        shares.append(model.embed(data).mean().item())
    assert shares[1] < 0.5 * shares[0]


def test_the_gradient_of_the_wake_phase_is_the_delta_rule():
    torch.manual_seed(3)
    net, x = DeepBelief(shape=SHAPE, widths=[12, 9], scale=0.5), digits().x[:16]
    greedy = Greedy(net, Stages(pretrain=[1, 1], updown=1))
    updates = greedy.updown(x)
    top = next(updates)
    assert (top.loss, top.player) == (None, "layer1")
    assert net.top.weight.grad.shape == net.top.weight.shape
    wake = next(updates)
    torch.manual_seed(3)
    DeepBelief(shape=SHAPE, widths=[12, 9], scale=0.5)
    h = net.path(x, 1, draw=True)[1]
    with torch.no_grad():
        rest = (net.layers[0].visible(h) - x.flatten(1)) / 16
    weight, bias = torch.autograd.grad(wake.loss, [net.layers[0].weight, net.layers[0].visible_bias])
    torch.testing.assert_close(weight, h.T @ rest)
    torch.testing.assert_close(bias, rest.sum(0))
    sleep = next(updates)
    assert sleep.player == "sleep"
    (slope,) = torch.autograd.grad(sleep.loss, [net.recognition[0].weight])
    assert slope.shape == (12, 64)
    assert next(updates, None) is None


def test_the_wake_phase_of_real_units_moves_their_mean_towards_the_data():
    net, x = DeepBelief(shape=SHAPE, widths=[12, 9], scale=0.5, gaussian=True), 3 * digits().x[:16] - 1
    greedy = Greedy(net, Stages(pretrain=[1, 1], updown=1))
    torch.manual_seed(3)
    h = net.path(x, 1, draw=True)[1]
    a = net.layers[0].visible_input(h)
    torch.manual_seed(3)
    _, wake, _ = greedy.updown(x)
    expected = -torch.distributions.Normal(a, 1.0).log_prob(x.flatten(1)).sum(1).mean()
    torch.testing.assert_close(wake.loss, expected)
    (bias,) = torch.autograd.grad(wake.loss, [net.layers[0].visible_bias])
    torch.testing.assert_close(bias, (a - x.flatten(1)).mean(0))


def test_up_down_training_makes_the_net_rebuild_better():
    data = digits()
    ends = []
    for updown in (0, 2):
        torch.manual_seed(0)
        net = DeepBelief(shape=SHAPE, widths=[48, 96], labels=10, scale=0.05)
        model = JointDBN(net=net, stages=Stages(pretrain=[1, 1], updown=updown), classes=10)
        train(model, data, 600 if updown else 300, rate=2e-3)
        with torch.no_grad():
            ends.append((net.leave(net.down(net.up(data.x))[0]) - data.x).square().mean())
    assert ends[1] < ends[0]


def test_the_joint_net_classifies_by_the_lowest_free_energy():
    model, data = joint([96]), digits()
    train(model, data, 600, rate=2e-2)
    assert accuracy(model, data) > 0.88
    x = data.x[:20]
    h = model.net.up(x)
    energies = [
        model.net.top.free_energy(torch.cat([h, F.one_hot(torch.full((20,), c), 10).float()], dim=1)) for c in range(10)
    ]
    torch.testing.assert_close(model(x), -torch.stack(energies, dim=1))
    labels = torch.arange(80) // ROW
    drawn = model.sample(80, Gibbs(steps=100))
    assert drawn.shape == (80, *SHAPE)
    assert (model(drawn).argmax(1) == labels).double().mean() > 0.6
    assert model.rebuild(x).shape == x.shape
    assert model.decode(model.embed(Images(x, data.y[:20]))).equal(model.rebuild(x))


def test_one_net_per_class_learns_to_compare_their_free_energies():
    model, data = per_class(), digits()
    train(model, data, 400, rate=1e-2)
    assert accuracy(model, data) > 0.85
    drawn = model.sample(80, Gibbs(steps=100))
    assert (model(drawn).argmax(1) == torch.arange(80) // ROW).double().mean() > 0.7
    assert model.embed(Images(data.x[:5], data.y[:5])).shape == (5, 10)


def test_each_class_teaches_its_own_net_alone():
    model, data = per_class(widths=(16, 8)), digits()
    threes = data.y == 3
    train(model, data, 80, 0, 1)
    before = snapshot(model)
    train(model, Images(data.x[threes], data.y[threes]), 80, 1, 6)
    assert {name.split(".")[2] for name in changed(before, model) if name.startswith("net.")} == {"3"}
    assert model.memories[3].seen == 64
    assert model.memories[4].seen < 32


def test_a_class_without_examples_is_told_in_one_line():
    model, data = per_class(), digits()
    some = data.y != 7
    with pytest.raises(DataError, match="no training example of class 7: this model learns a net of each class; use"):
        train(model, Images(data.x[some], data.y[some]), 20)
    later = Clock(1, 20, epoch=1)
    with pytest.raises(DataError, match="class 0, 1, 2, 3, 4, 5, 6, 7, 8, 9"):
        next(per_class().updates(data, later))


@pytest.mark.parametrize("make", [lambda: joint([96]), per_class])
def test_all_classes_are_drawn_in_equal_shares_or_the_chosen_one(make):
    model, data = make(), digits()
    train(model, data, 500, rate=2e-2)
    usual = model(model.sample(model.usual, Gibbs(steps=60))).argmax(1)
    asked = Gibbs().labels(model.usual, model.names)
    assert asked.unique().tolist() == list(range(10))
    assert (usual == asked).double().mean() > 0.5
    threes = model.sample(20, Gibbs(steps=60, label=3))
    assert (model(threes).argmax(1) == 3).double().mean() > 0.6
    for wrong in (Gibbs(label="ten"), Prior(label="ten")):
        with pytest.raises(ConfigError, match=r"sampler\.label=ten: no such class; .*classes: 0, 1, 2"):
            model.sample(4, wrong)
    with pytest.raises(ConfigError, match=r"sampler\.temperature=0\.7"):
        model.sample(4, Prior(temperature=0.7))


def test_where_no_class_can_be_chosen_that_is_told():
    with pytest.raises(ConfigError, match=r"sampler\.label=3: DBN draws from no chosen class"):
        dbn().sample(4, Gibbs(label=3))
    with pytest.raises(ConfigError, match=r"sampler\.label=3: codes of a JointDBN hold their class .* sampler=gibbs"):
        joint().sample(4, Interpolation(label=3))
    assert joint().sample(4, Interpolation(steps=4)).shape == (4, *SHAPE)


@pytest.mark.parametrize("make", [dbn, joint, per_class])
@pytest.mark.parametrize("sampler", [Prior(), Gibbs(steps=2), Gibbs(steps=2, start="examples")])
def test_samples_are_pictures_in_range_from_any_start(make, sampler):
    model = make()
    if isinstance(sampler, Prior):
        sampler = Gibbs(steps=1) if make is per_class else sampler
    drawn = model.eval().sample(11, sampler)
    assert drawn.shape == (11, *SHAPE)
    assert drawn.min() >= 0
    assert drawn.max() <= 1


def test_chains_start_at_training_examples_and_codes_can_be_walked_between():
    model, data = dbn(), digits()
    train(model, data, 90, 0, 40)
    assert model.memory.seen == 64
    start = model.generator.leave(model.generator.down(model.generator.up(model.memory.some(8)))[0])
    near, far = (
        (model.sample(8, Gibbs(steps=1, start=place)) - start).square().mean() for place in ("examples", "noise")
    )
    assert near < far
    walk = model.sample(16, Interpolation(steps=8))
    assert walk.shape == (16, *SHAPE)
    kept = model.memory.some(2)
    torch.testing.assert_close(walk[[0, 7]], model.rebuild(kept))


def test_memory_keeps_the_first_examples():
    memory = Memory((2,))
    memory.keep(torch.ones(40, 2))
    memory.keep(2 * torch.ones(40, 2))
    memory.keep(3 * torch.ones(40, 2))
    assert memory.kept.sum(1).tolist() == [2.0] * 40 + [4.0] * 24
    assert memory.some(70)[64:].eq(1).all()


@pytest.mark.parametrize("make", [dbn, joint, per_class])
def test_pictures_are_shown(make):
    data = digits()
    shown = make().eval().show(Images(data.x[:40], data.y[:40]))
    pictures = [value for value in shown.values() if not isinstance(value, str)]
    assert len(pictures) >= 2
    assert all(value.shape[1:] == (1, 8, 8) and value.min() >= 0 and value.max() <= 1 for value in pictures)
    assert len(shown["samples"]) == (32 if make is dbn else 80)


def test_rows_of_a_table_serve_as_well():
    data = digits()
    table = Table(data.x.flatten(1), data.y)
    model = DBN(
        net=MLP(inputs=64, widths=[20, 10], outputs=10, activation="sigmoid"),
        generator=DeepBelief(shape=[64], widths=[20, 10]),
        stages=Stages(pretrain=[1, 1], head=1),
        classes=10,
    )
    train(model, table, 30)
    assert model.rebuild(table.x[:5]).shape == (5, 64)
    assert model.show(Table(table.x[:5], table.y[:5])).keys() == {"answers"}


def test_real_numbers_need_gaussian_units():
    wide = Images(4 * digits().x - 2, digits().y)
    with pytest.raises(DataError, match=r"inputs from -2 to 2: binary visible units.*in \[0, 1\]"):
        train(dbn(), wide, 10)
    model = dbn(head=0, model=0)
    model.generator = DeepBelief(shape=SHAPE, widths=[48, 32], gaussian=True)
    model.greedy = Greedy(model.generator, model.stages)
    train(model, wide, 600, rate=3e-3)
    error = (model.rebuild(wide.x) - wide.x).square().mean()
    assert error < 0.9 * (wide.x.mean(0) - wide.x).square().mean()


def test_features_of_very_different_sizes_are_standardized_for_net_and_classifier():
    x, y = load_wine(return_X_y=True)
    data = Table(torch.tensor(x).float(), torch.tensor(y).long())  # from 0.1 to 1680
    mean, std = (row.tolist() for row in (data.x.mean(0), data.x.std(0)))
    model = DBN(
        net=MLP(inputs=13, widths=[24, 12], outputs=3, activation="sigmoid"),
        generator=DeepBelief(shape=[13], widths=[24, 12], scale=0.1, gaussian=True, mean=mean, std=std),
        stages=Stages(pretrain=[2, 2], head=1, model=2),
        classes=3,
    )
    train(model, data, 700, rate=5e-3)
    scores = model.score(model.measure(data))
    assert scores["accuracy"] > 0.95
    assert scores["reconstruction 0"] < 0.6  # of the variance
    rebuilt = model.rebuild(data.x)
    torch.testing.assert_close(rebuilt.mean(0), data.x.mean(0), rtol=0.05, atol=0.05)
    torch.testing.assert_close(model.generator.leave(model.generator.enter(data.x)), data.x, rtol=1e-4, atol=1e-4)


def test_what_does_not_fit_is_told_in_one_line():
    with pytest.raises(ConfigError, match=r"pretrain=\[1, 1, 1\] has 3 shares for 2 layers"):
        dbn(pretrain=[1, 1, 1])
    with pytest.raises(ConfigError, match=r"net.widths=\[30, 20\], model.generator.widths=\[48, 32\]"):
        dbn(net_widths=[30, 20])
    with pytest.raises(ConfigError, match="updown=1: a single layer has nothing to tune; use two layers, or 0"):
        dbn(widths=[8], updown=1)
    with pytest.raises(ConfigError, match=r"model\.net has 1 sigmoids for 2 hidden layers: .*activation=sigmoid"):
        DBN(
            net=nn.Sequential(nn.Linear(64, 9), nn.Sigmoid(), nn.Linear(9, 8), nn.ReLU(), nn.Linear(8, 10)),
            generator=DeepBelief(shape=SHAPE, widths=[9, 8]),
            stages=Stages(pretrain=[1, 1]),
            classes=10,
        )
    with pytest.raises(ConfigError, match="labels=0 for 10 classes; there must be a unit for each"):
        JointDBN(net=DeepBelief(shape=SHAPE, widths=[8]), stages=Stages(pretrain=[1]), classes=10)
    net = DeepBelief(shape=SHAPE, widths=[8], labels=10)
    with pytest.raises(ConfigError, match=r"stages\.head=0.5: a JointDBN has no such stage; give it 0"):
        JointDBN(net=net, stages=Stages(pretrain=[1], head=0.5), classes=10)
    with pytest.raises(ConfigError, match=r"stages\.updown=2: a DBNPerClass has no such stage; give it 0"):
        DBNPerClass(net=per_class().net, stages=Stages(pretrain=[1], updown=2), classes=10)


def test_a_classifier_that_learns_in_no_stage_is_told():
    (line,) = dbn(head=0.0, model=0.0).notes()
    assert "the classifier learns in no stage" in line
    assert dbn(head=0.0, model=1.0).notes() == dbn(head=1.0, model=0.0).notes() == []


@pytest.mark.parametrize("make", [dbn, joint, per_class])
def test_no_weight_is_stored_twice(make):
    model = make()
    assert isinstance(model, nn.Module)
    places = [value.data_ptr() for value in model.state_dict().values() if value.numel()]
    assert len(places) == len(set(places))


@pytest.mark.parametrize(("shares", "monitor"), [({}, "reconstruction"), ({"head": 1.0}, "accuracy")])
def test_what_is_watched_gets_better_in_the_last_stage(shares, monitor):
    model, data = dbn(**{"head": 0.0, "model": 0.0} | shares), digits()
    assert model.monitor == monitor
    steps = 300
    best = Best(monitor, monitor in model.rising)
    for end in range(30, steps + 1, 30):
        train(model, data, steps, end - 30, end)
        with torch.no_grad():
            best.improved(model.score(model.measure(Images(data.x[:300], data.y[:300])))[monitor], end)
    assert best.step > steps * 2 // 3
