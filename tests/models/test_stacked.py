"""Stacked autoencoders: what each stage may touch, what they learn, and the output that reads every layer."""

import pytest
import torch
import torch.nn.functional as F
from sklearn.datasets import load_digits

from dlcli.batch import Images
from dlcli.corruptions import Gaussian, Masking, SaltAndPepper
from dlcli.engine.stopping import Best
from dlcli.errors import ConfigError, DataError
from dlcli.model import Clock
from dlcli.models.stacked import StackedAutoencoder
from dlcli.models.stages import Stages
from dlcli.nets.layers import ACTIVATIONS
from dlcli.nets.mlp import MLP
from dlcli.nets.stacked import Autoencoders, Joined

SHAPE = [1, 8, 8]


def digits() -> Images:
    """Return the 1797 handwritten digits of 8x8 pixels."""
    x, y = load_digits(return_X_y=True)
    return Images(torch.tensor(x / 16).float().view(-1, 1, 8, 8), torch.tensor(y).long())


def stacked(join=False, activation="sigmoid", stages=None, facts=None, **more) -> StackedAutoencoder:
    """Return two small autoencoders and a classifier."""
    facts = facts or {}
    return StackedAutoencoder(
        net=Joined(inputs=64, widths=[40, 30], outputs=10, activation=activation, join=join, **facts),
        autoencoders=Autoencoders(shape=SHAPE, widths=[40, 30], activation=activation, **facts),
        stages=stages or Stages(pretrain=[1, 1], head=0.5, model=2),
        classes=10,
        **more,
    )


def train(model, data, steps, begin=0, end=None, rate=5e-3):
    """Run the shortest training loop that obeys the contract; return the losses."""
    players = {name: list(parameters) for name, parameters in model.players().items()}
    optimizers = {name: torch.optim.Adam(own, lr=rate) for name, own in players.items()}
    losses = []
    for step in range(begin, end or steps):
        chosen = torch.randint(data.size, (32,))
        for update in model.updates(Images(data.x[chosen], data.y[chosen]), Clock(step, steps)):
            update.loss.backward(inputs=players[update.player])
            optimizers[update.player].step()
            model.zero_grad()
            losses.append(update.loss.item())
    return losses


def changed(before, model) -> set[str]:
    """Return the names of the weights that differ from what they were."""
    return {name for name, value in model.state_dict().items() if not value.equal(before[name])}


def snapshot(model) -> dict:
    """Return a copy of all weights."""
    return {name: value.clone() for name, value in model.state_dict().items()}


def accuracy(model, data) -> float:
    """Return the share of examples that are taken for what they are."""
    with torch.no_grad():
        return (model(data.x).argmax(1) == data.y).double().mean().item()


def test_each_stage_touches_what_it_may_and_nothing_else():
    model, data = stacked(), digits()
    own = {i: {f"autoencoders.{part}.{i}" for part in ("layers", "decoders")} for i in range(2)}
    before = snapshot(model)
    train(model, data, 90, 0, 19)
    assert {".".join(name.split(".")[:3]) for name in changed(before, model)} == own[0]
    train(model, data, 90, 19, 20)
    assert model.net.layers[0][0].weight.equal(model.autoencoders.layers[0][0].weight)
    before = snapshot(model)
    train(model, data, 90, 20, 40)
    found = {".".join(name.split(".")[:3]) for name in changed(before, model)}
    assert found == own[1] | {"net.layers.1"}
    before = snapshot(model)
    train(model, data, 90, 40, 50)
    assert changed(before, model) == {"net.head.weight", "net.head.bias"}
    before = snapshot(model)
    train(model, data, 90, 50, 90)
    assert changed(before, model) == {name for name in before if name.startswith("net.")}


def test_the_loss_of_a_layer_is_that_of_one_autoencoder_with_a_clean_target():
    model, x = stacked(corruption=Masking(share=0.3)), digits().x[:16]
    torch.manual_seed(5)
    given = x.flatten(1) * (torch.rand(16, 64) >= 0.3)
    net = model.autoencoders
    output = net.decoders[0](net.layers[0](given))
    expected = F.binary_cross_entropy_with_logits(output, x.flatten(1), reduction="none").sum(1).mean()
    torch.manual_seed(5)
    (update,) = model.updates(Images(x, torch.zeros(16).long()), Clock(0, 90))
    torch.testing.assert_close(update.loss, expected)


@pytest.mark.parametrize("corruption", [Gaussian(std=0.1), SaltAndPepper(share=0.2)])
def test_codes_of_any_size_are_corrupted_on_their_own_scale(corruption):
    model, x, given = stacked(activation="relu", corruption=corruption), digits().x[:64], []
    net = model.autoencoders
    with torch.no_grad():
        net.layers[0][0].weight.mul_(20)
    codes = net.path(x, 1)[-1]
    for layer in range(2):
        net.layers[layer].register_forward_pre_hook(lambda _, inputs: given.append(inputs[0]))
    model.rebuilding(x.flatten(1), 0)
    model.rebuilding(codes, 1)
    assert codes.max() > 3
    assert 0 <= given[0].min() < given[0].max() <= 1
    assert given[1].max() >= codes.max() - 1
    if isinstance(corruption, SaltAndPepper):
        assert (given[1] == codes.max()).double().mean() > 0.05
    else:
        assert (given[1] - codes).std().item() == pytest.approx(0.1, rel=0.1)


def test_it_learns_to_rebuild_and_to_classify():
    model, data = stacked(corruption=Masking(share=0.2)), digits()
    losses = train(model, data, 900)
    assert sum(losses[190:200]) < 0.8 * sum(losses[:10])
    assert accuracy(model, data) > 0.93
    x = data.x[:200]
    rebuilt = model.rebuild(x)
    assert rebuilt.shape == x.shape
    assert (rebuilt - x).square().mean() < 0.8 * (x.mean(0) - x).square().mean()
    codes = model.embed(Images(x, data.y[:200]))
    assert codes.shape == (200, 30)
    assert model.decode(codes).equal(rebuilt)
    scores = model.score(model.measure(Images(x, data.y[:200])))
    assert {"loss", "accuracy", "reconstruction 0", "reconstruction 1"} <= scores.keys()
    assert len(model.show(Images(x, data.y[:200]))["reconstruction"]) == 64


def test_features_of_all_layers_side_by_side_serve_where_nothing_is_tuned():
    torch.manual_seed(0)
    data, found = digits(), {}
    for join in (False, True):
        torch.manual_seed(0)
        model = stacked(join=join, stages=Stages(pretrain=[1, 1], head=2))
        train(model, data, 400)
        found[join] = accuracy(model, data)
    assert model.net.head.in_features == 64 + 40 + 30
    assert found[True] > found[False]
    path = model.autoencoders.path(data.x[:5], 2)
    torch.testing.assert_close(model(data.x[:5]), model.net.head(torch.cat(path, dim=1)))


def test_real_inputs_have_a_linear_output_and_are_given_back_in_their_own_units():
    data = digits()
    wide = Images(4 * data.x - 2, data.y)
    with pytest.raises(
        DataError, match=r"needs numbers in \[0, 1\], and these reach from -2 to 2; set model.likelihood"
    ):
        train(stacked(), wide, 90, 0, 1)
    facts = {"mean": [-0.78], "std": [1.5]}
    model = stacked(activation="relu", likelihood="gaussian", facts=facts)
    assert model.likelihoods == ["gaussian", "gaussian"]
    train(model, wide, 900, rate=2e-3)
    rebuilt = model.rebuild(wide.x)
    assert rebuilt.min() < -1
    assert (rebuilt - wide.x).square().mean() < 0.5 * (wide.x.mean(0) - wide.x).square().mean()
    assert accuracy(model, wide) > 0.9


def test_what_does_not_fit_is_told_in_one_line():
    with pytest.raises(ConfigError, match=r"pretrain=\[1\] has 1 shares for 2 layers"):
        stacked(stages=Stages(pretrain=[1]))
    with pytest.raises(ConfigError, match="unknown likelihood 'poisson'"):
        stacked(likelihood="poisson")
    with pytest.raises(ConfigError, match=r"net.widths=\[40, 30\], model.autoencoders.widths=\[9\]"):
        StackedAutoencoder(
            net=Joined(inputs=64, widths=[40, 30], outputs=10),
            autoencoders=Autoencoders(shape=SHAPE, widths=[9]),
            stages=Stages(pretrain=[1]),
            classes=10,
        )


@pytest.mark.parametrize("net", [Joined, MLP])
def test_the_classifier_has_the_activation_of_the_encoders_that_it_takes_over(net):
    def both(codes, hidden):
        return StackedAutoencoder(
            net=net(inputs=64, widths=[40, 30], outputs=10, activation=hidden, dropout=0.1),
            autoencoders=Autoencoders(shape=SHAPE, widths=[40, 30], activation=codes),
            stages=Stages(pretrain=[1, 1]),
            classes=10,
        )

    for name in ACTIVATIONS:
        if name != "gated":  # its gates are linear layers, which nobody takes over
            both(name, name)
    for codes, hidden in (("relu", "sigmoid"), ("sigmoid", "relu"), ("identity", "tanh"), ("relu", "leaky_relu")):
        with pytest.raises(
            ConfigError,
            match=rf"^model\.autoencoders\.activation={codes}, of which model\.net has 0 for 2 hidden layers: "
            rf".* must be the same; use model\.net\.activation={codes}$",
        ):
            both(codes, hidden)


def test_a_differing_activation_is_refused_on_the_command_line(dl):
    code, _, err = dl("train", "model=stacked_autoencoder", "model.net.activation=tanh", "max_steps=2")
    assert code == 2
    assert "model.autoencoders.activation=relu, of which model.net has 0 for 3 hidden layers" in err
    assert "Traceback" not in err


def test_what_may_go_wrong_is_told_before_the_first_step():
    wide = {"net": Joined(inputs=64, widths=[64, 30], outputs=10), "classes": 10}
    layers = Autoencoders(shape=SHAPE, widths=[64, 30])
    (line,) = StackedAutoencoder(autoencoders=layers, stages=Stages(pretrain=[1, 1], head=1), **wide).notes()
    assert "64 codes for 64 numbers may learn the identity" in line
    assert "corruption=masking" in line
    (line,) = StackedAutoencoder(
        autoencoders=layers, stages=Stages(pretrain=[1, 1]), corruption=Masking(), **wide
    ).notes()
    assert "the classifier learns in no stage" in line
    assert StackedAutoencoder(
        autoencoders=layers, stages=Stages(pretrain=[1, 1], head=1), corruption=Masking(share=0), **wide
    ).notes()
    assert stacked().notes() == []
    with pytest.raises(ConfigError, match=r"stages\.updown=1: a StackedAutoencoder has no such stage"):
        stacked(stages=Stages(pretrain=[1, 1], updown=1))


def test_without_labels_the_best_epoch_is_the_one_that_rebuilds_best():
    model, data = stacked(stages=Stages(pretrain=[1, 1])), digits()
    assert (model.monitor, stacked().monitor) == ("reconstruction", "accuracy")
    best = Best(model.monitor, model.monitor in model.rising)
    for end in range(30, 301, 30):
        train(model, data, 300, end - 30, end)
        with torch.no_grad():
            scores = model.score(model.measure(data))
        best.improved(scores[model.monitor], end)
    assert best.step > 200
    assert scores["reconstruction"] == pytest.approx((model.rebuild(data.x) - data.x).square().mean().item(), rel=1e-5)
