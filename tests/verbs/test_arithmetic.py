"""Sums of codes of a generator: against the closed form, and in `dl eval`."""

import json

import pytest
import torch
from torch import nn

from dlcli.models.gan import GAN
from dlcli.objectives import Nonsaturating
from dlcli.regularizers import Free
from dlcli.samplers import Prior
from dlcli.seeing.codes.arithmetic import aims
from dlcli.verbs.arithmetic import sums

pytestmark = pytest.mark.usefixtures("undrawn")


class Sigmoid(nn.Module):
    """Make a picture of as many pixels as a code has numbers."""

    def __init__(self):
        super().__init__()
        self.gain = nn.Parameter(torch.ones(()))

    def forward(self, codes):
        return (self.gain * codes).sigmoid().view(-1, 1, 2, 2)


def model() -> GAN:
    """Return a GAN whose samples are their codes, squeezed into [0, 1]."""
    return GAN(generator=Sigmoid(), critic=nn.Linear(4, 1), latent=4, objective=Nonsaturating(), regularizer=Free())


def bright(x):
    """Return 1 for a picture whose first pixel is above a half, that is for codes whose first number is positive."""
    return (x.flatten(1)[:, 0] > 0.5).long()


@pytest.mark.parametrize("temperature", [1.0, 0.5])
def test_a_step_goes_as_far_as_the_means_of_half_normals_are_apart(temperature, monkeypatch):
    monkeypatch.setattr("dlcli.verbs.arithmetic.LEARNED", 20_000)
    monkeypatch.setattr("dlcli.verbs.arithmetic.COUNTED", 20_000)
    # the mean of |N(0, 1)| is (2 / pi)^1/2 = 0.798: a step is 1.596 long, and |N(0, 1)| is below that for 88.9 %
    with torch.no_grad():
        table = sums(model(), Prior(temperature=temperature), bright, ["dark", "bright"])["change of class"]
    assert table["one step"]["arrives"] == pytest.approx(0.8895, abs=0.01)
    assert table["two steps"]["arrives"] == pytest.approx(0.9986, abs=0.002)
    assert all(row["arrives"] + row["stays"] == pytest.approx(1) for row in table.values())


def test_what_has_no_classes_or_no_free_codes_is_left_out():
    def one(x):
        return torch.zeros(len(x), dtype=torch.long)

    told, points = model(), model()
    told.extra = 10  # a generator that is told the class
    points.generator = nn.Linear(4, 2)
    with torch.no_grad():
        assert sums(model(), Prior(), one, ["dark", "bright"]) == {}
        assert sums(told, Prior(), bright, ["dark", "bright"]) == {}
        assert sums(points, Prior(), bright, ["dark", "bright"]) == {}
        assert sums(nn.Identity(), Prior(), bright, ["dark", "bright"]) == {}


def test_the_picture_has_a_row_for_each_class_and_one_for_the_means():
    with torch.no_grad():
        figure = sums(model(), Prior(), bright, ["dark", "bright"])["arithmetic"]
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == ["mean code", "dark", "bright"]


def test_an_aim_is_another_class():
    kinds = torch.tensor([1, 4, 7])
    own = kinds[torch.randint(3, (300,))]
    found = aims(own, kinds)
    assert (found != own).all()
    assert set(found.tolist()) == {1, 4, 7}
    assert aims(torch.tensor([4, 4]), torch.tensor([4])).tolist() == [4, 4]


def test_samples_are_moved_between_the_classes_of_a_judge(dl, trained):
    judge = trained("model=mlp", "data=digits8", "epochs=4")
    run = trained("model=gan", "data=digits8", "epochs=10", "model.generator.widths=[64]")
    quick = ("points=0", "mistakes=0", "see=[]")
    code, out, err = dl("eval", str(run), f"judge={judge}", *quick)
    assert code == 0, err
    assert "change of class" in out
    found = json.loads((run / "report-test.json").read_text())["change of class"]
    assert list(found) == ["one step", "two steps", "by pixels"]
    assert (run / "figures" / "test-arithmetic.png").exists()
    assert dl("eval", str(run), f"judge={judge}", *quick)[0] == 0
    assert json.loads((run / "report-test.json").read_text())["change of class"] == found
