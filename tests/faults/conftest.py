"""What the tests of faults share."""

import harness
import pytest

from dlcli.verbs import train as training


@pytest.fixture(scope="module")
def warm(tmp_path_factory):
    """Return a config and the run that it makes when nothing happens; from now on this process is warm."""
    outputs = tmp_path_factory.mktemp("unbroken")
    config = harness.composed(*harness.WORDS)
    own = config.copy()
    own.paths.outputs = str(outputs)
    with pytest.MonkeyPatch.context() as patch:
        harness.silent(patch)
        training.train(own, [])
        run = harness.only_run(outputs)
        assert run
        yield config, run
