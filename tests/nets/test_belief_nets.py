"""Deep belief nets: energies against sums over all states, and chains against the distribution they should have."""

import itertools

import pytest
import torch
import torch.nn.functional as F

from dlcli.nets.dbn import DeepBelief, FreeEnergies, LabelRBM
from dlcli.nets.rbm import RBM


def states(units: int) -> torch.Tensor:
    """Return every state of binary units, (2^units, units)."""
    return torch.tensor(list(itertools.product([0.0, 1.0], repeat=units)))


def labelled(visible=3, labels=4, hidden=5, scale=1.0) -> LabelRBM:
    """Return an RBM with labels whose biases are not zero."""
    rbm = LabelRBM(visible=visible, labels=labels, hidden=hidden, scale=scale)
    for bias in (rbm.visible_bias, rbm.hidden_bias):
        torch.nn.init.normal_(bias)
    return rbm.requires_grad_(False)


def test_energies_are_the_same_bits_under_autocast():
    units, x = torch.rand(5, 6), torch.rand(5, 6)
    rbm, net = LabelRBM(visible=6, labels=3, hidden=4, scale=1.0), DeepBelief(shape=[6], widths=[4, 3], scale=1.0)
    plain = rbm.by_label(units), net.free_energy(x)
    with torch.autocast("cpu", torch.bfloat16):
        assert rbm.by_label(units).equal(plain[0])
        assert net.free_energy(x.bfloat16().float()).equal(net.free_energy(x.bfloat16()))
        assert net.free_energy(x).equal(plain[1])
        assert (rbm.weight @ rbm.weight.T).dtype == torch.bfloat16  # it is autocast still


def test_free_energies_by_label_equal_the_sum_over_all_hidden_states():
    rbm, units, h = labelled(), states(3), states(5)
    for label in range(4):
        v = torch.cat([units, F.one_hot(torch.full((8,), label), 4).float()], dim=1)
        energies = torch.stack([rbm.energy(v, row.expand(8, -1)) for row in h])
        torch.testing.assert_close(rbm.by_label(units)[:, label], -torch.logsumexp(-energies, dim=0))
        torch.testing.assert_close(rbm.by_label(units)[:, label], rbm.free_energy(v))


def test_exactly_one_label_is_drawn_as_often_as_its_probability_says():
    rbm = labelled()
    h = states(5)[11].expand(20_000, -1)
    drawn, mean = rbm.draw_visible(h), rbm.visible(h)
    assert drawn[:, 3:].sum(1).eq(1).all()
    torch.testing.assert_close(mean[0, 3:].sum(), torch.tensor(1.0))
    torch.testing.assert_close(drawn.mean(0), mean[0], atol=0.015, rtol=0)


def test_the_sum_over_visible_states_knows_that_one_label_is_on():
    rbm, a = labelled(), torch.randn(7)
    v = torch.cat([states(3).repeat_interleave(4, 0), torch.eye(4).repeat(8, 1)], dim=1)
    torch.testing.assert_close(rbm.log_sum(a), (v @ a).logsumexp(0))


def test_chains_with_a_label_held_reach_the_distribution_of_its_examples():
    net = DeepBelief(shape=[3], widths=[5], labels=4).requires_grad_(False)
    net.layers[0] = labelled()
    label = F.one_hot(torch.full((20_000,), 2), 4).float()
    found = net.relax(torch.rand(20_000, 3).round(), 50, label)
    index = (found @ torch.tensor([4.0, 2.0, 1.0])).long()
    share = torch.bincount(index, minlength=8) / len(index)
    torch.testing.assert_close(share, (-net.top.by_label(states(3))[:, 2]).softmax(0), atol=0.02, rtol=0)


@torch.no_grad()
def test_the_free_energy_of_one_layer_is_exact_and_that_of_more_is_close_where_the_layers_agree():
    net = DeepBelief(shape=[6], widths=[5, 6], scale=0.2)
    first, second = net.layers
    for bias in (first.visible_bias, first.hidden_bias):
        torch.nn.init.normal_(bias)
    second.weight.copy_(first.weight.T)  # the machine upside down has the same p(h), so the second layer adds nothing
    second.visible_bias.copy_(first.hidden_bias)
    second.hidden_bias.copy_(first.visible_bias)
    net.untie(0)
    x = states(6)
    torch.testing.assert_close(net.free_energy(x), first.free_energy(x), atol=0.05, rtol=0)
    assert (net.free_energy(x) - first.free_energy(x)).abs().max() < 0.05 * first.free_energy(x).std()
    alone = DeepBelief(shape=[6], widths=[4]).requires_grad_(False)
    assert alone.free_energy(x).equal(alone.top.free_energy(x))


def test_the_way_up_and_the_way_down():
    net = DeepBelief(shape=[1, 2, 3], widths=[5, 4, 7], scale=1.0)
    for layer in range(3):
        net.untie(layer)
    x = torch.rand(9, 1, 2, 3)
    v = x.flatten(1)
    for layer in net.layers:
        v = layer.hidden(v)
    torch.testing.assert_close(net.encode(x), v)
    for weight, bias in net.upward():
        x = F.linear(x.flatten(1), weight, bias).sigmoid()
    torch.testing.assert_close(x, v)
    h = v
    for layer in reversed(net.layers):
        h = layer.visible(h)
    torch.testing.assert_close(net.decode(v), h.view(9, 1, 2, 3))
    drawn = net.path(torch.rand(9, 1, 2, 3), 2, draw=True)
    assert [part.shape[1] for part in drawn] == [6, 5, 4]
    assert all(part.eq(part.round()).all() for part in drawn[1:])
    dream = net.down(drawn[-1], draw=True)
    assert [part.shape[1] for part in dream] == [6, 5, 4]
    assert dream[1].eq(dream[1].round()).all()
    assert not dream[0].eq(dream[0].round()).all()


def test_recognition_goes_its_own_way_once_it_is_untied():
    net = DeepBelief(shape=[6], widths=[5, 4])
    net.untie(0)
    before = net.up(torch.ones(1, 6))
    torch.nn.init.zeros_(net.layers[0].weight)
    assert net.up(torch.ones(1, 6)).equal(before)
    net.recognition.requires_grad_(False)  # frozen
    net.untie(0)
    assert net.up(torch.ones(1, 6)).equal(before)


def test_labels_that_nobody_knows_stand_at_what_is_expected():
    net = DeepBelief(shape=[3], widths=[5], labels=4).requires_grad_(False)
    net.layers[0] = labelled()
    x = states(3)
    expected = (-net.top.by_label(x)).softmax(1)
    torch.testing.assert_close(net.encode(x), net.top.hidden(torch.cat([x, expected], dim=1)))
    assert net.decode(net.encode(x)).shape == (8, 3)


def test_free_energies_of_different_scales_become_comparable():
    net = FreeEnergies(classes=3, shape=[6], widths=[5], scale=1.0)
    with torch.no_grad():
        net.members[0].top.hidden_bias.add_(50)  # a constant that only the partition function would undo
    x = torch.rand(64, 6)
    logits = net(x)
    torch.testing.assert_close(logits.mean(0), torch.zeros(3), atol=0.02, rtol=0)
    torch.testing.assert_close(logits.std(0, correction=0), torch.ones(3), atol=0.02, rtol=0)
    net.eval()
    torch.testing.assert_close(net(x).mean(0), torch.zeros(3), atol=0.1, rtol=0)


def test_a_plain_top_layer_has_no_labels():
    net = DeepBelief(shape=[6], widths=[5, 4])
    assert type(net.top) is RBM
    assert net.labels == 0


@pytest.mark.parametrize("steps", [1, 3])
def test_relaxing_without_labels_keeps_the_units_binary(steps):
    net = DeepBelief(shape=[6], widths=[5, 4])
    found = net.relax(torch.rand(8, 5).round(), steps)
    assert found.shape == (8, 5)
    assert found.eq(found.round()).all()
