"""Contrastive divergence: the lecture's numbers, autograd's gradients, learning, and the measures of an RBM."""

import math

import pytest
import torch
from sklearn.datasets import load_digits

from dlcli.batch import Images, Table
from dlcli.errors import ConfigError, DataError
from dlcli.model import Clock
from dlcli.models import contrastive
from dlcli.models.contrastive import ContrastiveDivergence, Sparsity
from dlcli.models.partition import Annealing, exact_log_z, interval, settings
from dlcli.nets.rbm import RBM, ConditionalRBM, GaussianRBM
from dlcli.samplers import Gibbs, Interpolation, Prior

SHAPE = [1, 8, 8]


def digits() -> Images:
    """Return the 1797 handwritten digits of 8x8 pixels."""
    x, y = load_digits(return_X_y=True)
    return Images(torch.tensor(x / 16).float().view(-1, *SHAPE), torch.tensor(y).long())


def table(x) -> Table:
    """Return rows as a batch."""
    return Table(x, torch.zeros(len(x)))


def train(model, data, steps, rate=0.1):
    """Run the shortest training loop that obeys the contract."""
    optimizer = torch.optim.SGD(model.parameters(), lr=rate, momentum=0.5)
    for step in range(steps):
        chosen = torch.randperm(data.size)[:64]
        for update in model.updates(type(data)(data.x[chosen], data.y[chosen]), Clock(step, steps)):
            assert update.loss is None
            optimizer.step()
            optimizer.zero_grad()
    return model.eval()


def test_the_update_of_the_lecture_to_four_digits():
    net = RBM(visible=3, hidden=2)
    with torch.no_grad():
        net.weight.copy_(torch.tensor([[0.1, -0.2, 0.3], [0.2, 0.1, -0.1]]))
        x, h = torch.tensor([[1.0, 0, 1]]), torch.tensor([[1.0, 0]])
        torch.testing.assert_close(net.hidden(x), torch.tensor([[0.5987, 0.5250]]), atol=5e-5, rtol=0)
        torch.testing.assert_close(net.visible(h), torch.tensor([[0.5250, 0.4502, 0.5744]]), atol=5e-5, rtol=0)
        slopes = net.contrast(x, h, x, net.hidden(x))
        ends = {name: parameter - 0.1 * slopes[name] for name, parameter in net.named_parameters()}
    weight = torch.tensor([[0.1401, -0.2, 0.3401], [0.1475, 0.1, -0.1525]])
    torch.testing.assert_close(ends["weight"], weight, atol=5e-5, rtol=0)
    torch.testing.assert_close(ends["visible_bias"], torch.zeros(3))
    torch.testing.assert_close(ends["hidden_bias"], torch.tensor([0.0401, -0.0525]), atol=5e-5, rtol=0)


@pytest.mark.parametrize("more", [{}, {"steps": 3}, {"persistent": 20}, {"visible_samples": False}])
def test_the_written_gradient_is_that_of_the_free_energy_difference(more):
    model = ContrastiveDivergence(net=RBM(visible=6, hidden=4, scale=0.5), **more)
    x = torch.rand(8, 6)
    next(model.updates(table(x), Clock(0, 1)))  # the first batch also sets the biases
    seen, contrast = [], model.net.contrast
    model.net.contrast = lambda v, h, w, g: seen.append(w.clone()) or contrast(v, h, w, g)
    next(model.updates(table(x), Clock(0, 1)))
    written = {name: p.grad.clone() for name, p in model.named_parameters()}
    model.zero_grad()
    (model.net.free_energy(x).mean() - model.net.free_energy(seen[0]).mean()).backward()
    for name, parameter in model.named_parameters():
        torch.testing.assert_close(written[name], parameter.grad, rtol=0, atol=1e-6)


def test_hidden_samples_enter_the_statistics_if_wanted():
    means, drawn = (
        ContrastiveDivergence(net=RBM(visible=6, hidden=4, scale=0.5), hidden_samples=way) for way in (False, True)
    )
    seen = []
    for model in (means, drawn):
        contrast = model.net.contrast
        model.net.contrast = lambda v, h, w, g, contrast=contrast: seen.append((h, g)) or contrast(v, h, w, g)
        next(model.updates(table(torch.rand(8, 6)), Clock(0, 1)))
    for (h, g), binary in zip(seen, (False, True), strict=True):
        assert bool(((h == 0) | (h == 1)).all()) is binary
        assert ((g > 0) & (g < 1)).all()  # the last hidden units are always probabilities


def test_many_steps_of_cd_come_near_the_likelihoods_own_gradient():
    net = RBM(visible=5, hidden=3, scale=0.7)
    model = ContrastiveDivergence(net=net, steps=50)
    x = torch.rand(20_000, 5).round()
    next(model.updates(table(x), Clock(0, 1)))  # sets the biases
    next(model.updates(table(x), Clock(0, 1)))
    written = net.weight.grad.clone()
    net.zero_grad()
    everything = torch.cat(settings(net.visible_bias))
    (net.free_energy(x).mean() + (-net.free_energy(everything)).logsumexp(0)).backward()
    torch.testing.assert_close(written, net.weight.grad, atol=0.01, rtol=0)


def test_persistent_chains_go_on_where_they_were():
    model = ContrastiveDivergence(net=RBM(visible=6, hidden=4, scale=0.5), persistent=7)
    first = model.chains.clone()
    next(model.updates(table(torch.rand(8, 6)), Clock(0, 1)))
    assert model.chains.shape == first.shape
    assert not model.chains.equal(first)
    assert "chains" in model.state_dict()


def test_sparsity_pulls_towards_the_target_and_nothing_else():
    model = ContrastiveDivergence(net=RBM(visible=6, hidden=4), sparsity=Sparsity(weight=2.0, target=0.1))
    x = torch.rand(8, 6)
    torch.manual_seed(1)
    with torch.no_grad():
        pulled = model.slopes(x)
        model.sparsity = Sparsity()
        torch.manual_seed(1)
        free, h = model.slopes(x), model.net.hidden(x)
    pull = 2 * (h.mean(0) - 0.1)
    torch.testing.assert_close(pulled["hidden_bias"] - free["hidden_bias"], pull)
    torch.testing.assert_close(pulled["weight"] - free["weight"], torch.outer(pull, x.mean(0)), atol=1e-6, rtol=1e-4)
    sparse = train(
        ContrastiveDivergence(net=RBM(visible=64, hidden=30), sparsity=Sparsity(weight=1.0, target=0.1)), digits(), 150
    )
    assert sparse.embed(digits()).mean().item() == pytest.approx(0.1, abs=0.06)


@pytest.mark.parametrize("more", [{}, {"persistent": 64}, {"visible_samples": False}])
def test_it_learns_digits(more):
    data = digits()
    model = ContrastiveDivergence(net=RBM(visible=64, hidden=60), shape=SHAPE, **more)
    before = model.score(model.measure(data))
    noise = Images(torch.rand(500, *SHAPE).round(), data.y[:500])
    after = train(model, data, 300).score(model.measure(data))
    assert after["reconstruction"] < 0.35 * before["reconstruction"]
    assert after["pseudo_likelihood"] > before["pseudo_likelihood"] + 10
    assert after["loss"] == -after["pseudo_likelihood"]
    assert after["free_energy"] < model.score(model.measure(noise))["free_energy"] - 20  # learned patterns lie low
    assert abs(after["gap"]) < 2  # the kept examples are among these


def test_over_fitting_shows_as_a_gap():
    data, few = digits(), Images(digits().x[:40], digits().y[:40])
    model = train(ContrastiveDivergence(net=RBM(visible=64, hidden=100)), few, 500)
    assert model.score(model.measure(Images(data.x[40:], data.y[40:])))["gap"] > 2


def test_the_pseudo_likelihood_agrees_with_the_definition():
    net, units = RBM(visible=4, hidden=3, scale=1.0), 4
    model, v = ContrastiveDivergence(net=net), torch.rand(6, 4).round()
    exact = torch.zeros(6)
    for i in range(units):
        both = torch.stack([v, v])
        both[0, :, i], both[1, :, i] = 0, 1
        joint = torch.stack([-net.free_energy(side) for side in both]).softmax(0)
        exact += torch.where(v[:, i] == 1, joint[1], joint[0]).log()
    torch.testing.assert_close(model.pseudo_likelihood(v, 3000), exact, atol=0.1, rtol=0.02)


def test_without_weights_the_pseudo_likelihood_is_the_likelihood():
    net = RBM(visible=5, hidden=3, scale=0.0)
    torch.nn.init.constant_(net.visible_bias, math.log(3))
    model, ones = ContrastiveDivergence(net=net), torch.ones(2, 5)
    torch.testing.assert_close(model.pseudo_likelihood(ones, 4), torch.full((2,), 5 * math.log(0.75)))
    assert exact_log_z(net) == pytest.approx(3 * math.log(2) + 5 * math.log(4), rel=1e-6)


@pytest.mark.parametrize(
    "net",
    [
        RBM(visible=20, hidden=12, scale=0.5).double(),
        RBM(visible=12, hidden=20, scale=0.5).double(),
        GaussianRBM(visible=20, hidden=12, scale=0.3).double(),
    ],
)
def test_annealing_finds_the_exact_partition_function(net):
    torch.manual_seed(1)
    examples = net.draw(torch.zeros(50, net.weight.shape[1], dtype=torch.float64))
    with torch.no_grad():
        exact = exact_log_z(net)
        found = interval(Annealing(temperatures=500, runs=100).weights(net, examples))
    assert found.log_z == pytest.approx(exact, abs=0.1)
    assert found.log_z_low - 0.02 < exact < found.log_z_high + 0.02


def test_both_ways_to_sum_up_agree():
    net = RBM(visible=7, hidden=9, scale=0.5).double()
    by_visible = exact_log_z(net)
    h = torch.cat(settings(net.hidden_bias))
    by_hidden = (h @ net.hidden_bias + net.log_sum(net.visible_input(h))).logsumexp(0).item()
    assert by_visible == pytest.approx(by_hidden, rel=1e-12)
    assert Annealing()(net, torch.zeros(0, 7)) == (by_visible,) * 3


def test_the_report_is_a_normalized_likelihood():
    data = Images(digits().x.round(), digits().y)
    model = train(ContrastiveDivergence(net=RBM(visible=64, hidden=10), shape=SHAPE), data, 200)
    report = model.report(model.measure(data))
    assert report["log_z_low"] == report["log_z"] == report["log_z_high"]
    assert -40 < report["log_likelihood"] < -20  # a machine without weights is at about -30
    assert 0 < report["log_likelihood_standard_error"] < 1


def test_codes_pictures_and_samples_have_their_shapes():
    data = Images(digits().x[:64], digits().y[:64])
    model = train(ContrastiveDivergence(net=RBM(visible=64, hidden=30), shape=SHAPE), data, 5)
    with torch.no_grad():
        codes = model.embed(data)
        assert codes.shape == (64, 30)
        assert model.decode(codes).shape == model.rebuild(data.x).shape == data.x.shape
        torch.testing.assert_close(model.decode(codes), model.rebuild(data.x))
        for sampler in (Gibbs(steps=3), Gibbs(steps=1, start="examples"), Prior(), Interpolation(steps=4)):
            drawn = model.sample(9, sampler)
            assert drawn.shape == (9, *SHAPE)
            assert 0 <= drawn.min() <= drawn.max() <= 1
        shown = model.show(data)
    assert shown["filters"].shape == (30, *SHAPE)
    assert shown["chains"].shape == (8 * len(contrastive.STRIP), *SHAPE)
    torch.testing.assert_close(shown["chains"][0], data.x[0])  # each row begins where its chain does
    assert 0 <= shown["filters"].min() <= shown["filters"].max() <= 1


def test_real_units_learn_and_have_no_pseudo_likelihood():
    data = digits()
    net = GaussianRBM(visible=64, hidden=60, mean=[data.x.mean().item()], std=[data.x.std().item()])
    model = ContrastiveDivergence(net=net, shape=SHAPE)
    before = model.score(model.measure(data))
    after = train(model, data, 300, rate=0.01).score(model.measure(data))
    assert "pseudo_likelihood" not in after
    assert after["loss"] == after["reconstruction"] < 0.5 * before["reconstruction"]
    assert model.rebuild(data.x).sub(data.x).square().mean().sqrt() < 0.25  # in the units of the pixels
    assert model.sample(4, Gibbs(steps=2)).shape == (4, *SHAPE)


def test_what_is_given_helps_to_tell_the_rest():
    data = Images(digits().x.round(), digits().y)
    model = ContrastiveDivergence(net=ConditionalRBM(units=64, given=0.5, hidden=40), shape=SHAPE)
    train(model, data, 400)
    v = model.net.enter(data.x)
    mixed = torch.cat([v[torch.randperm(len(v)), :32], v[:, 32:]], dim=1)  # the top of another digit
    right, wrong = (model.values(x)["pseudo_likelihood"].mean() for x in (v, mixed))
    assert right > wrong + 2
    assert model.report(model.measure(data)) == {}
    drawn = model.sample(10, Gibbs(steps=2))
    torch.testing.assert_close(drawn[:, :, :4], model.kept[:10, :32].view(10, 1, 4, 8))


def test_the_first_examples_stay_and_set_the_biases_once():
    model = ContrastiveDivergence(net=RBM(visible=6, hidden=4))
    x = torch.rand(300, 6)
    for part in (x, x.flip(0)):
        next(model.updates(table(part), Clock(0, 1)))
    assert int(model.seen) == contrastive.KEPT
    torch.testing.assert_close(model.kept, torch.cat([x, x.flip(0)])[: contrastive.KEPT])
    torch.testing.assert_close(model.net.visible_bias, ((x.sum(0) + 0.5) / 301).logit())


def test_mistakes_are_told_in_one_line():
    net = RBM(visible=3, hidden=2)
    with pytest.raises(ConfigError, match=r"steps=0: a chain must leave the data, .* use steps=1"):
        ContrastiveDivergence(net=net, steps=0)
    with pytest.raises(ConfigError, match="persistent=4: each example has units given of its own"):
        ContrastiveDivergence(net=ConditionalRBM(units=4, given=0.5, hidden=2), persistent=4)
    with pytest.raises(ConfigError, match="unknown start 'data': choose noise or examples"):
        Gibbs(start="data")
    with pytest.raises(ConfigError, match="steps=0: a chain takes at least 1 step"):
        Gibbs(steps=0)
    model = ContrastiveDivergence(net=net)
    for act in (model.measure, lambda batch: next(model.updates(batch, Clock(0, 1)))):
        with pytest.raises(DataError, match=r"inputs from -1 to 3: .* in \[0, 1\]; use model=rbm_gaussian"):
            act(table(torch.tensor([[-1.0, 0, 3]])))


def test_neither_class_nor_temperature_can_be_chosen():
    model = ContrastiveDivergence(net=RBM(visible=3, hidden=2))
    for sampler in (Prior(label=3), Gibbs(label=3), Interpolation(label=3)):
        with pytest.raises(ConfigError, match=r"sampler\.label=3: ContrastiveDivergence draws from no chosen class"):
            model.sample(2, sampler)
    with pytest.raises(ConfigError, match=r"sampler\.temperature=0\.5: it scales codes from a prior.*leave it out"):
        model.sample(2, Prior(temperature=0.5))


def test_the_command_line_refuses_a_chain_of_no_steps(dl):
    code, _, err = dl("train", "model=rbm", "model.steps=0")
    assert code == 2
    assert "model.steps" in err
    assert "a whole number >= 1" in err


def test_the_natural_sampler_and_pixels_that_do_not_fit(dl, undrawn):
    quick = ("epochs=1", "model.net.hidden=20", "model.partition.temperatures=5", "model.partition.runs=4")
    assert dl("train", "model=rbm", *quick)[0] == 0
    assert dl("sample", "sampler=gibbs", "sampler.steps=3", "n=4")[0] == 0
    assert dl("sample", "n=4")[0] == 0
    code, _, err = dl("train", "model=rbm", "data=wine", "model.shape=[13]", "epochs=1")
    assert code == 3
    assert "use model=rbm_gaussian" in err
