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


@pytest.mark.parametrize("family", sorted(paths.options("model")))
def test_a_family_that_is_continued_ends_with_the_bits_of_the_unbroken_one(family):
    """R3: weights, averages, the best, optimizers, schedule and random streams, with no tolerance."""
    config = small(family)
    whole = made(config)
    assert whole.engine.fit(whole.train, whole.valid)
    broken, stop = made(config), After(MIDDLE)
    assert not broken.engine.fit(broken.train, broken.valid, stop, stop.step_end)
    assert broken.engine.position > 0
    content = checkpoint.encode(*state.capture(broken.engine))
    torch.manual_seed(99)  # whatever the new process did before must not matter
    other = made(config)
    state.restore(other.engine, *checkpoint.decode(content, family), family)
    assert other.engine.fit(other.train, other.valid)
    (ours, plain), (theirs, other_plain) = state.capture(other.engine), state.capture(whole.engine)
    assert ours.keys() == theirs.keys()
    assert not [name for name in ours if not torch.equal(ours[name], theirs[name])]
    assert json.dumps(plain) == json.dumps(other_plain)
