"""Every family of `conf/model`, stopped in the middle of an epoch and continued: the bits of the unbroken training."""

import copy
import json
from typing import Any

import pytest
import torch

from dlcli.config import paths
from dlcli.config.check import check
from dlcli.engine import checkpoint, state
from dlcli.verbs import prepare as preparing
from dlcli.verbs.prepare import Setup, prepare

BATCH = {"dbn_per_class": 20}  # elsewhere 4; this one needs an example of every class
MIDDLE = 4  # of six steps: after a validation, within the second epoch


@pytest.fixture(scope="module", autouse=True)
def _loaded_once():
    """Read each data set once, since no training changes it."""
    real, known = preparing.load_data, {}

    def load(config, *more):
        name = json.dumps(config["source"])
        if name not in known:
            known[name] = real(config, *more)
        return known[name]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(preparing, "load_data", load)
        yield


def small(family: str) -> Any:
    """Return the config of a small training of a family on its natural data."""
    batch = BATCH.get(family, 4)
    examples = 3 * batch - 1  # three steps an epoch, the last of them smaller
    words = [f"batch={batch}", "epochs=2", "ema=0.9", "schedule=onecycle", f"name={family}"]
    config = check("train", [f"model={family}", *words])
    splits = preparing.load_data(preparing.plain(config.data), config.paths.data)
    config.limit, config.limit_valid = (min(1.0, examples / part.size) for part in (splits.train, splits.valid))
    return config


def made(config: Any) -> Setup:
    """Build everything, as a new process would."""
    return prepare(copy.deepcopy(config))


class After:
    """A stop that comes true after so many steps."""

    def __init__(self, steps: int):
        self.left = steps

    def __bool__(self) -> bool:
        return self.left <= 0

    def step_end(self) -> None:
        self.left -= 1


def unbroken(config: Any) -> Setup:
    """Return a training that was never stopped."""
    whole = made(config)
    assert whole.engine.fit(whole.train, whole.valid)
    return whole


def continued(config: Any, before: Setup, family: str) -> Setup:
    """Return what another process makes of the state of a training."""
    content = checkpoint.encode(*state.capture(before.engine))
    torch.manual_seed(99)  # whatever the new process did before must not matter
    other = made(config)
    state.restore(other.engine, *checkpoint.decode(content, family), family)
    return other


def require_same_bits(setup: Setup, whole: Setup) -> None:
    """Compare everything that a state holds, with no tolerance."""
    (ours, plain), (theirs, other_plain) = state.capture(setup.engine), state.capture(whole.engine)
    assert ours.keys() == theirs.keys()
    assert not [name for name in ours if not torch.equal(ours[name], theirs[name])]
    assert json.dumps(plain) == json.dumps(other_plain)


@pytest.mark.parametrize("family", sorted(paths.options("model")))
def test_a_family_that_is_continued_ends_with_the_bits_of_the_unbroken_one(family):
    """R3: weights, averages, the best, optimizers, schedule and random streams, with no tolerance."""
    config = small(family)
    broken, stop = made(config), After(MIDDLE)
    assert not broken.engine.fit(broken.train, broken.valid, stop, stop.step_end)
    assert broken.engine.position > 0
    other = continued(config, broken, family)
    assert other.engine.fit(other.train, other.valid)
    require_same_bits(other, unbroken(config))


@pytest.mark.long
@pytest.mark.parametrize("family", sorted(paths.options("model")))
def test_a_family_that_is_stopped_after_every_step_ends_with_the_bits_of_the_unbroken_one(family):
    """R3: before the first step, within epochs and at their ends, before the last score; a new process each time."""
    config = small(family)
    setup, stops = continued(config, made(config), family), 0
    while not setup.engine.fit(setup.train, setup.valid, stop := After(1), stop.step_end):
        setup, stops = continued(config, setup, family), stops + 1
    assert stops >= 5
    require_same_bits(setup, unbroken(config))


@pytest.mark.parametrize("last", [6, 5])  # the end of an epoch, and the middle of one
def test_a_stop_between_the_last_step_and_its_score_leaves_the_score_to_the_next_process(last):
    config = small("mlp")
    config.max_steps = last
    broken, stop = made(config), After(last)
    assert not broken.engine.fit(broken.train, broken.valid, stop, stop.step_end)
    other = continued(config, broken, "mlp")
    assert other.engine.best.seen < other.engine.clock.step
    assert other.engine.fit(other.train, other.valid)
    require_same_bits(other, unbroken(config))
