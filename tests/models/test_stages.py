"""Stages: which batch belongs to which, and what is said of shares that do not fit."""

import pytest
import torch
from torch import nn

from dlcli.errors import ConfigError
from dlcli.model import Clock
from dlcli.models.stages import Stages, beside, inherit, require_widths
from dlcli.nets.mlp import MLP


def names(stages: Stages, steps: int) -> list[str]:
    """Return the stage of every step of a run."""
    return [stages.now(Clock(step, steps)).name for step in range(steps)]


def test_the_example_of_the_docstring():
    found = names(Stages(pretrain=[1, 1], head=0.5, model=2), 450)
    counts = {name: found.count(name) for name in dict.fromkeys(found)}
    assert counts == {"layer0": 100, "layer1": 100, "head": 50, "model": 200}


@pytest.mark.parametrize("steps", [3, 10, 17, 1000])
def test_every_stage_begins_and_ends_once_in_order(steps):
    stages = Stages(pretrain=[0.1, 0.1, 0.1])
    nows = [stages.now(Clock(step, steps)) for step in range(steps)]
    assert [now.name for now in nows if now.begins] == ["layer0", "layer1", "layer2"]
    assert [now.name for now in nows if now.ends] == ["layer0", "layer1", "layer2"]
    assert nows[0].begins
    assert nows[-1].ends
    assert [now.layer for now in nows] == sorted(now.layer for now in nows)


def test_stages_are_ahead_until_their_first_step():
    stages = Stages(pretrain=[1, 0], head=1, model=2)  # steps 0, 1 and 2..3 of four
    found = [stages.ahead(Clock(step, 4)) for step in range(5)]
    assert found == [["layer0", "head", "model"], ["head", "model"], ["model"], [], []]
    assert [stages.now(Clock(step, 4)).begins for step in range(4)] == [True, True, True, False]


def test_a_share_of_zero_leaves_a_stage_out():
    assert set(names(Stages(pretrain=[0, 1], updown=0, model=1), 10)) == {"layer1", "model"}
    assert set(names(Stages(pretrain=[0, 0], model=1), 10)) == {"model"}
    assert Stages(pretrain=[0, 0], head=1).now(Clock(0, 2)).begins


@pytest.mark.parametrize(
    ("shares", "words"),
    [
        ({"pretrain": [1, -1]}, "layer1 has the share -1; give 0 or more"),
        ({"pretrain": [1], "head": float("nan")}, "head has the share nan"),
        ({"pretrain": [0, 0]}, "all shares are 0, so nothing would be learned"),
    ],
)
def test_shares_that_are_none_are_refused(shares, words):
    with pytest.raises(ConfigError, match=words):
        Stages(**shares)


def test_a_run_that_is_too_short_for_a_stage_is_refused():
    stages = Stages(pretrain=[1, 1], head=0.1, model=1)
    with pytest.raises(ConfigError, match=r"head with the share 0.1 of 3.1 gets none of the 5 steps.*more epochs"):
        stages.now(Clock(0, 5))
    stages.now(Clock(0, 31))


def test_one_share_is_needed_for_each_layer():
    with pytest.raises(ConfigError, match=r"pretrain=\[1, 1\] has 2 shares for 3 layers; give one share"):
        Stages(pretrain=[1, 1]).require(3)


def test_a_classifier_takes_over_hidden_layers_of_the_same_widths():
    net = MLP(inputs=4, widths=[3, 2], outputs=5)
    with pytest.raises(ConfigError, match=r"model.net.widths=\[3, 2\], model.generator.widths=\[3\].*must be the same"):
        require_widths(net, "generator", [3])
    require_widths(net, "generator", [3, 2])
    head = net.layers[-1].weight.clone()
    layers = [nn.Linear(4, 3), nn.Linear(3, 2)]
    inherit(net, [(layer.weight, layer.bias) for layer in layers])
    x = torch.rand(7, 4)
    expected = layers[1](layers[0](x).relu()).relu()
    torch.testing.assert_close(net.layers[:-1](x), expected)
    assert net.layers[-1].weight.equal(head)


def test_frozen_layers_of_a_classifier_take_over_nothing():
    net = MLP(inputs=4, widths=[3], outputs=5)
    first = net.layers[1].requires_grad_(False)
    before = first.weight.clone()
    inherit(net, [(torch.rand(3, 4), torch.rand(3))])
    assert first.weight.equal(before)


def test_pictures_stand_above_what_became_of_them():
    x = torch.rand(10, 1, 2, 2)
    assert beside(x, x + 2)[:8].equal(x[:8])
    assert beside(x, x + 2)[8:16].equal(torch.ones(8, 1, 2, 2))
    assert len(beside(x, x)) == 20
