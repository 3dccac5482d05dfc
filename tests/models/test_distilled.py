"""Defensive distillation and ensembles: who learns what and when, by hand and against training alone."""

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from dlcli.batch import Images
from dlcli.errors import ConfigError
from dlcli.model import Clock
from dlcli.models.classifier import Classifier
from dlcli.models.distilled import Distilled
from dlcli.models.ensemble import Ensemble
from dlcli.nets.committee import Committee
from dlcli.nets.mlp import MLP


def batch() -> Images:
    """Return eight random pictures of three classes."""
    return Images(torch.rand(8, 1, 4, 4), torch.arange(8) % 3)


def net(dropout: float = 0.0) -> nn.Module:
    """Return a small net."""
    return nn.Sequential(nn.Dropout(dropout), MLP(inputs=16, widths=[6], outputs=3))


def test_first_the_teacher_learns_the_truth_then_the_net_learns_the_teacher():
    model, some = Distilled(net=net(), teacher=net(), classes=3, temperature=5.0), batch()
    (first,), (second,) = (list(model.updates(some, Clock(step, 10))) for step in (4, 5))
    assert (first.player, second.player) == ("teacher", "model")
    torch.testing.assert_close(first.loss, F.cross_entropy(model.teacher(some.x) / 5, some.y))
    soft = (model.teacher(some.x) / 5).softmax(1)
    by_hand = -(soft * (model.net(some.x) / 5).log_softmax(1)).sum(1).mean()
    torch.testing.assert_close(second.loss, by_hand)
    second.loss.backward()
    assert all(p.grad is None for p in model.teacher.parameters())
    torch.testing.assert_close(model(some.x), model.net(some.x))
    assert [bool(model.ahead(Clock(step, 10))) for step in (0, 5, 6)] == [True, True, False]  # after the fifth: not yet


def test_the_teacher_answers_in_eval_mode():
    model = Distilled(net=net(), teacher=net(dropout=0.9), classes=3).train()
    x = batch().x
    assert model.soft(x).equal(model.soft(x))
    assert model.teacher[0].training


def test_the_score_of_the_teacher_is_its_own():
    model, some = Distilled(net=net(), teacher=net(), classes=3).eval(), batch()
    for module in (model.net, model.teacher):
        nn.init.zeros_(list(module.parameters())[-2])
    nn.init.constant_(list(model.teacher.parameters())[-1][1:2], 9.0)  # the teacher says 1, the net 0
    scores = model.score(model.measure(some))
    assert scores["accuracy"] == (some.y == 0).double().mean().item()
    assert scores["teacher_accuracy"] == (some.y == 1).double().mean().item()


def test_distilled_nets_are_sure_of_themselves():
    torch.manual_seed(0)
    some = batch()
    model, plain = Distilled(net=net(), teacher=net(), classes=3), Classifier(net=net(), classes=3)
    for rule in (model, plain):
        optimizer = torch.optim.Adam(rule.parameters(), lr=0.02)
        for step in range(200):
            (update,) = rule.updates(some, Clock(step, 200))
            optimizer.zero_grad()
            update.loss.backward()
            optimizer.step()
    spread = [rule(some.x).std().item() for rule in (model, plain)]
    assert spread[0] > 2 * spread[1]


def test_members_of_an_ensemble_learn_as_if_they_were_alone():
    members, some = [net(), net()], batch()
    alone = copy.deepcopy(members[1])
    pair = Ensemble(net=Committee(members=members), classes=3)
    single = Classifier(net=alone, classes=3)
    for rule in (pair, single):
        optimizer = torch.optim.Adam(rule.parameters(), lr=0.01)
        for _ in range(20):
            optimizer.zero_grad()
            rule.loss(some).backward()
            optimizer.step()
    for ours, theirs in zip(pair.net.members[1].parameters(), alone.parameters(), strict=True):
        assert ours.equal(theirs)
    torch.testing.assert_close(pair(some.x).exp(), sum(m(some.x).softmax(1) for m in members) / 2)


def test_what_does_not_fit_is_refused():
    with pytest.raises(ConfigError, match="temperature=0"):
        Distilled(net=net(), teacher=net(), classes=3, temperature=0)
    with pytest.raises(ConfigError, match="Sequential has no members"):
        Ensemble(net=net(), classes=3)
