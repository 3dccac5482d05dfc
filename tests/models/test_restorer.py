"""Restoration: every corruption that `conf/` knows is learned to be undone."""

import pytest

from dlcli.config import paths
from dlcli.config.check import check
from dlcli.verbs.prepare import prepare

CORRUPTIONS = sorted(paths.options("corruption"))
QUICK = ("epochs=1", "max_steps=60", "schedule=onecycle", "optimizer.lr=6e-3", "model.net.net.width=8", "device=cpu")


@pytest.mark.parametrize("corruption", CORRUPTIONS)
def test_a_short_training_beats_what_it_was_given(corruption):
    data = "photographs" if corruption == "grey" else "digits"  # digits have no colour to lose
    setup = prepare(check("train", ["model=restoration", f"data={data}", f"corruption={corruption}", *QUICK]))
    if not setup.engine.model.corrupts:
        assert setup.engine.model.notes()  # nothing to gain, and it is said
        return
    scores: dict[str, float] = {}
    setup.engine.fit(setup.train, setup.valid, epoch_end=scores.update)
    assert scores["gain"] > 0.5
