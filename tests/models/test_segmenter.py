"""Segmentation: weighted loss, scores by hand, and nets without padding."""

from typing import NamedTuple

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dlcli.models.segmenter import Segmenter, middle, overlay


class Batch(NamedTuple):
    x: Tensor
    y: Tensor
    w: Tensor

    @property
    def size(self) -> int:
        return len(self.x)


def batch(size: int = 8) -> Batch:
    x = torch.rand(3, 1, size, size)
    return Batch(x, (x[:, 0] > 0.5).long(), torch.rand(3, size, size) + 0.5)


def test_the_loss_is_the_weighted_mean_over_pixels():
    rule, data = Segmenter(net=nn.Conv2d(1, 2, 1), classes=2), batch()
    flat = F.cross_entropy(rule(data.x).movedim(1, -1).reshape(-1, 2), data.y.flatten(), reduction="none")
    expected = (flat * data.w.flatten()).sum() / data.w.sum()
    assert torch.allclose(rule.loss(data), expected)


def test_a_net_without_padding_is_scored_on_the_middle():
    rule, data = Segmenter(net=nn.Conv2d(1, 2, 3), classes=2), batch()
    assert torch.equal(middle(data.y, rule(data.x)), data.y[:, 1:-1, 1:-1])
    assert rule.loss(data).isfinite()
    assert rule.measure(data)["present"].sum() == 3 * 36
    assert rule.show(data)["predicted"].shape == (3, 3, 6, 6)


def test_scores_on_a_worked_example():
    rule = Segmenter(net=nn.Identity(), classes=2, names=["ground", "cell"])
    truth = torch.tensor([[[0, 0, 1, 1]]])
    guess = torch.tensor([[[0, 1, 1, 1]]])
    logits = F.one_hot(guess, 2).movedim(-1, 1).float()
    measured = rule.measure(Batch(logits, truth, torch.ones(1, 1, 4)))
    scores, rows = rule.score(measured), rule.report(measured)["classes"]
    assert rows["cell"]["dice"] == pytest.approx(4 / 5)
    assert rows["cell"]["iou"] == pytest.approx(2 / 3)
    assert rows["ground"]["dice"] == pytest.approx(2 / 3)
    assert scores["pixel_error"] == pytest.approx(1 / 4)
    assert scores["dice"] == pytest.approx((4 / 5 + 2 / 3) / 2)


def test_the_first_class_stays_grey_and_the_others_are_coloured():
    x, labels = torch.full((1, 3, 2, 2), 0.5), torch.tensor([[[0, 1], [2, 0]]])
    drawn = overlay(x, labels)
    assert torch.allclose(drawn[0, :, 0, 0], torch.full((3,), 0.5))
    assert not torch.allclose(drawn[0, :, 0, 1], drawn[0, :, 1, 0])
