"""Restricted and full Boltzmann machines: energies, conditionals and gradients against sums over all settings."""

import pytest
import torch

from dlcli.errors import ConfigError
from dlcli.models.partition import settings
from dlcli.nets.boltzmann import Boltzmann
from dlcli.nets.dbn import DeepBelief, LabelRBM
from dlcli.nets.rbm import RBM, ConditionalRBM, GaussianRBM, bernoulli

KINDS = {
    "binary": lambda: RBM(visible=6, hidden=4, scale=0.5),
    "gaussian": lambda: GaussianRBM(visible=6, hidden=4, scale=0.5),
    "conditional": lambda: ConditionalRBM(units=6, given=1 / 3, hidden=4, scale=0.5),
}


@pytest.fixture(params=KINDS)
def net(request):
    """Return a small machine of each kind, all its parameters different from zero."""
    made = KINDS[request.param]().double()
    for parameter in made.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    return made


def everything(units):
    """Return all settings of so many binary units."""
    return torch.cat(settings(torch.zeros(units, dtype=torch.float64)))


def test_the_free_energy_sums_over_all_hidden_settings(net):
    v = torch.rand(5, 6).double()
    energies = torch.stack([net.energy(v, h.expand(5, 4)) for h in everything(4)])
    torch.testing.assert_close(net.free_energy(v), -(-energies).logsumexp(0))


def test_conditionals_follow_from_the_energy(net):
    v, h = torch.rand(5, 6).double().round(), everything(4)
    energies = torch.stack([net.energy(v, setting.expand(5, 4)) for setting in h], dim=1)  # (B, 2^H)
    torch.testing.assert_close(net.hidden(v), (-energies).softmax(1) @ h)
    one = h[3].expand(5, 4)
    back = net.back(one, v, sampled=False)
    torch.testing.assert_close(back[:, : net.given], v[:, : net.given])
    for i in range(net.given, 6):
        off, on = v.clone(), v.clone()
        off[:, i], on[:, i] = 0, 1
        rise = net.energy(on, one) - net.energy(off, one)
        expected = (-rise).sigmoid() if net.binary else 0.5 - rise  # 1/2 v^2 - a v rises by 1/2 - a from 0 to 1
        torch.testing.assert_close(back[:, i], expected)


def test_the_contrast_is_autograds_gradient_of_the_free_energy_difference(net):
    v, w = torch.rand(5, 6).double(), torch.rand(3, 6).double()
    (net.free_energy(v).mean() - net.free_energy(w).mean()).backward()
    with torch.no_grad():
        found = net.contrast(v, net.hidden(v), w, net.hidden(w))
    assert found.keys() == dict(net.named_parameters()).keys()
    for name, parameter in net.named_parameters():
        torch.testing.assert_close(found[name], parameter.grad, rtol=0, atol=1e-12)


@pytest.mark.parametrize("kind", KINDS)
@torch.no_grad()
def test_half_precision_multiplies_and_does_nothing_else(kind):
    net, v, w = KINDS[kind](), torch.rand(100, 6), torch.rand(60, 6)
    torch.nn.init.normal_(net.weight)
    exact = net.contrast(v, net.hidden(v), w, net.hidden(w))
    with torch.autocast("cpu", torch.bfloat16):
        back = net.back(net.hidden(v), v, sampled=False)
        found = net.contrast(v, net.hidden(v), w, net.hidden(w))
    assert back.dtype == torch.float32
    assert not found["weight"].equal(exact["weight"])
    for name, slope in found.items():
        assert slope.dtype == torch.float32
        torch.testing.assert_close(slope, exact[name], rtol=0.02, atol=0.01 * exact[name].abs().max().item() + 1e-3)


@pytest.mark.parametrize("kind", ["binary", "conditional"])
def test_turning_a_unit_over_changes_the_free_energy_by_that_much(kind):
    net, v = KINDS[kind](), torch.rand(5, 6).round()
    torch.nn.init.normal_(net.direct) if kind == "conditional" else None
    units = torch.randint(net.given, 6, (3, 5))
    for unit, found in zip(units, net.flipped(v, units), strict=True):
        turned = v.clone()
        turned[range(5), unit] = 1 - turned[range(5), unit]
        torch.testing.assert_close(found, net.free_energy(turned) - net.free_energy(v), atol=1e-5, rtol=1e-5)


def test_visible_biases_start_at_the_on_frequencies():
    net = RBM(visible=3, hidden=2, scale=0.0)
    with torch.no_grad():
        net.start(torch.tensor([[1.0, 0, 0.5]] * 999))
    torch.testing.assert_close(net.visible(torch.zeros(1, 2)), torch.tensor([[0.9995, 0.0005, 0.5]]), atol=1e-5, rtol=0)
    real = GaussianRBM(visible=1, hidden=2)
    with torch.no_grad():
        real.start(torch.tensor([[2.0], [4.0]]))
    assert real.visible_bias.item() == 3


@pytest.mark.parametrize(
    "net",
    [
        RBM(visible=4, hidden=2),
        GaussianRBM(visible=4, hidden=2),
        ConditionalRBM(units=4, given=0.5, hidden=2),
        LabelRBM(visible=2, labels=2, hidden=2),
    ],
)
@torch.no_grad()
def test_visible_biases_that_are_frozen_or_learned_elsewhere_stay(net):
    v = torch.tensor([[1.0, 0, 1, 0]] * 5)
    net.visible_bias.requires_grad_(False)
    net.start(v)
    assert not net.visible_bias.any()
    net.visible_bias.requires_grad_(True)
    net.start(v)
    assert net.visible_bias.any()
    first = net.visible_bias.clone()
    net.start(1 - v)
    assert net.visible_bias.equal(first)


def test_real_units_are_standardized_on_the_way_in_and_back_on_the_way_out():
    net = GaussianRBM(visible=8, hidden=2, mean=[1.0, -1.0], std=[2.0, 0.5])
    x = torch.randn(5, 2, 2, 2)
    torch.testing.assert_close(net.enter(x)[:, :4], (x[:, 0].flatten(1) - 1) / 2)
    torch.testing.assert_close(net.leave(net.enter(x), [2, 2, 2]), x)


def test_draws_follow_their_probabilities():
    p = torch.tensor([0.0, 0.1, 0.5, 0.9, 1.0]).expand(50_000, 5)
    torch.testing.assert_close(bernoulli(p).mean(0), p[0], atol=0.01, rtol=0)
    net = GaussianRBM(visible=1, hidden=2)
    drawn = net.draw(torch.full((50_000, 1), 3.0))
    assert (drawn.mean().item(), drawn.std().item()) == (pytest.approx(3, abs=0.02), pytest.approx(1, abs=0.02))


def test_a_chain_visits_settings_as_often_as_they_are_probable():
    net = RBM(visible=3, hidden=2, scale=1.0)
    with torch.no_grad():
        v = net.walk(torch.rand(20_000, 3).round(), 30)
        expected = (-net.free_energy(everything(3).float())).softmax(0)
    found = torch.bincount((v @ torch.tensor([1.0, 2, 4])).long(), minlength=8) / len(v)
    torch.testing.assert_close(found, expected, atol=0.012, rtol=0)


def test_given_units_never_move():
    net = ConditionalRBM(units=6, given=0.5, hidden=4, scale=1.0)
    v = torch.rand(7, 6)
    assert net.walk(v, 5)[:, :3].equal(v[:, :3])
    with pytest.raises(ConfigError, match=r"given=1\.0 of 6 units leaves .* use given=0\.5"):
        ConditionalRBM(units=6, given=1.0, hidden=4)


def test_a_machine_without_hidden_units_is_refused():
    for make in (RBM, GaussianRBM):
        with pytest.raises(
            ConfigError, match="hidden=0: without hidden units a machine explains nothing; use 1 or more"
        ):
            make(visible=3, hidden=0)
    with pytest.raises(ConfigError, match="hidden=0"):
        DeepBelief(shape=[3], widths=[4, 0])


def test_a_stack_hands_hidden_units_up():
    layers = DeepBelief(shape=[6], widths=[5, 4, 3], gaussian=True).layers
    assert [tuple(layer.weight.shape) for layer in layers] == [(5, 6), (4, 5), (3, 4)]
    assert [layer.binary for layer in layers] == [False, True, True]


def test_a_boltzmann_machine_without_lateral_links_is_a_restricted_one():
    full = Boltzmann(visible=4, hidden=3, lateral_visible=False, lateral_hidden=False, scale=1.0)
    net = RBM(visible=4, hidden=3)
    torch.nn.init.normal_(full.bias)
    with torch.no_grad():
        net.weight.copy_(full.links()[4:, :4])
        net.visible_bias.copy_(full.bias[:4])
        net.hidden_bias.copy_(full.bias[4:])
    s = torch.rand(9, 7).round()
    torch.testing.assert_close(full.energy(s), net.energy(s[:, :4], s[:, 4:]))


def test_sweeps_visit_settings_as_often_as_they_are_probable_and_heat_flattens_that():
    net = Boltzmann(visible=2, hidden=1, scale=1.5)
    states = everything(3).float()
    for temperature in (1.0, 4.0):
        with torch.no_grad():
            s = torch.rand(20_000, 3).round()
            for _ in range(30):
                s = net.sweep(s, temperature)
            expected = (-net.energy(states) / temperature).softmax(0)
        found = torch.bincount((s @ torch.tensor([1.0, 2, 4])).long(), minlength=8) / len(s)
        torch.testing.assert_close(found, expected, atol=0.012, rtol=0)


def test_clamped_units_stay_and_annealing_ends_at_the_machine_itself(monkeypatch):
    net, s, seen = Boltzmann(visible=3, hidden=2), torch.rand(6, 5).round(), []
    assert net.anneal(s, 3, hottest=8.0, clamped=3)[:, :3].equal(s[:, :3])
    monkeypatch.setattr(Boltzmann, "sweep", lambda self, s, temperature, clamped: seen.append(temperature) or s)
    net.anneal(s, 4, hottest=8.0)
    assert seen == pytest.approx([8, 4, 2, 1])


def test_the_surprise_of_units_is_that_of_torchs_distributions():
    binary, real = RBM(visible=6, hidden=4), GaussianRBM(visible=6, hidden=4)
    v, a = torch.rand(5, 6).round(), torch.randn(5, 6)
    torch.testing.assert_close(binary.surprise(v, a), -torch.distributions.Bernoulli(logits=a).log_prob(v))
    torch.testing.assert_close(real.surprise(a, v), -torch.distributions.Normal(v, 1.0).log_prob(a))
    for layer in (binary, real):  # the same in one sum, as in the free energy of a deep belief net
        whole = layer.rest(v) - (v * a).sum(1) + layer.log_sum(a)
        torch.testing.assert_close(layer.surprise(v, a).sum(1), whole)
