"""The learning-rate range test."""

import re
from pathlib import Path

import pytest

from dlcli.errors import ConfigError
from dlcli.verbs.rate import Curve


def curve(losses: list[float]) -> Curve:
    """Return a curve at the rates 1e-6, 1e-5.9, ... whose smoothing is undone."""
    made = Curve()
    made.rates = [10 ** (-6 + i / 10) for i in range(len(losses))]
    made.losses = losses
    return made


def test_the_steepest_fall_is_found():
    falling = [2.0] * 20 + [2.0 - 0.02 * i for i in range(10)] + [1.5, 0.9, 0.8, 0.75] + [1.0, 4.0]
    assert curve(falling).steepest() == pytest.approx(10 ** (-6 + 3.0), rel=0.6)


def test_the_smoothed_loss_of_a_constant_is_that_constant():
    made = Curve()
    for step in range(5):
        made.scalars({"train/loss": 3.0, "train/rate": 0.1}, step)
    assert made.losses == pytest.approx([3.0] * 5)
    assert not made.exploded
    made.scalars({"train/loss": 1e6, "train/rate": 0.2}, 5)
    assert made.exploded


def test_a_loss_that_never_falls_is_a_fault():
    with pytest.raises(ConfigError, match="never fell"):
        curve([1.0 + i for i in range(30)]).steepest()


def test_the_rate_that_it_names_learns_and_no_run_is_left(dl):
    code, out, err = dl("train", "model=mlp", "data=iris", "find_lr=true")
    assert code == 0, err
    rate = float(re.search(r"optimizer\.lr=(\S+)", out)[1])
    assert 1e-5 < rate < 0.3
    assert [path.name for path in Path("outputs").iterdir()] == ["rate-mlp-iris.png"]
    assert dl("train", "model=mlp", "data=iris", "find_lr=true", "-m", "seed=1,2")[0] == 2


@pytest.mark.parametrize(("family", "why"), [("pca", "no steps"), ("perceptron", "down a loss")])
def test_what_learns_without_a_loss_has_no_rate_to_test(dl, family, why):
    code, _, err = dl("train", f"model={family}", "find_lr=true")
    assert code == 2
    assert why in err
