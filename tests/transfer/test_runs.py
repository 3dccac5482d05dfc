"""Transfer on the command line: from run to run, to the same bits after an interruption, and what cannot be."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from dlcli.run import Run
from dlcli.verbs import common

pytestmark = pytest.mark.usefixtures("undrawn")

QUICK = ("model=mlp", "model.net.widths=[12]", "data=iris", "batch=32")
FIRST, HEAD = "net.layers.1.weight", "net.layers.3.weight"


def newest() -> Path:
    return sorted(Path("outputs").glob("*/*/run.json"), key=lambda path: path.parent.name)[-1].parent


def best(run=None):
    return load_file((run or newest()) / "checkpoints/best.safetensors")


@pytest.fixture
def source(trained) -> Path:
    """Return a trained run."""
    return trained(*QUICK, "epochs=3", "name=source")


def test_a_linear_probe_keeps_the_features_of_its_source(dl, source):
    code, out, err = dl("train", *QUICK, "epochs=2", "init_from=last", "learn=[net.layers.3.*]")
    assert code == 0, err
    assert "learn    39 of 99 weights (39.4 %); the others stay" in out
    assert f"init     from {source}: 6 of 6 tensors taken" in out
    assert best()[FIRST].equal(best(source)[FIRST])
    assert not best()[HEAD].equal(best(source)[HEAD])
    record = json.loads((newest() / "run.json").read_text())
    assert record["init_from"]["run"] == str(source)
    assert len(record["init_from"]["taken"]) == 6
    assert record["init_from"]["left"] == {}


def test_lora_learns_merges_and_is_revived(dl, source):
    words = (*QUICK, "epochs=2", "optimizer.lr=0.05", "lora.rank=2", "learn=[net.layers.3.*]")
    code, out, err = dl("train", *words, f"init_from={source}")
    assert code == 0, err
    assert "learn    71 of 131 weights" in out  # 2 * (4 + 12) for the first layer, 39 for the whole head
    run = newest()
    assert best(run).keys() == best(source).keys()
    change = best(run)[FIRST] - best(source)[FIRST]
    assert torch.linalg.matrix_rank(change, rtol=1e-3) == 2
    merged = common.trained(Run(run.absolute()), "best")
    assert all(value.equal(merged[name]) for name, value in best(run).items())
    for verb in (("eval", "points=0"), ("verify", "steps=4")):
        code, out, err = dl(verb[0], str(run), verb[1])
        assert code == 0, err
    code, out, err = dl("train", f"resume={run}", "epochs=3")
    assert code == 0, err
    assert not best(run)[FIRST].equal(best(source)[FIRST])
    code, _, err = dl("train", *QUICK, "epochs=1", f"init_from={run}")
    assert code == 0, err


def test_a_run_that_goes_on_does_not_need_its_source_any_more(dl, source):
    words = ("epochs=2", "learn=[net.layers.3.*]", "thaw=0.5", "layer_decay=0.5")
    assert dl("train", *QUICK, *words, f"init_from={source}")[0] == 0
    run = newest()
    source.rename("gone")
    assert dl("train", f"resume={run}", "epochs=4")[0] == 0
    assert dl("verify", str(run), "steps=4")[0] == 0
    assert json.loads((run / "run.json").read_text())["init_from"]["run"] == str(source)
    code, _, err = dl("train", f"resume={run}", "epochs=5", "freeze=[net.layers.1.*]")
    assert code == 2
    assert "cannot change when a run is resumed" in err


def test_unused_keys_change_no_bit(dl, source):
    assert dl("train", *QUICK, "epochs=3", "lora.alpha=1.0", "freeze=[]", "thaw=0.0", "layer_decay=1.0")[0] == 0
    assert all(value.equal(best(source)[name]) for name, value in best().items())


@pytest.mark.long
def test_every_job_of_a_sweep_starts_from_the_source(dl, source):
    words = ("epochs=1", f"init_from={source}", "learn=[net.layers.3.*]", "seed=1,2")
    code, _, err = dl("train", "-m", *QUICK, *words)
    assert code == 0, err
    runs = list(Path("outputs").glob("mlp-iris/*/checkpoints/best.safetensors"))
    assert len(runs) == 2
    assert all(load_file(run)[FIRST].equal(best(source)[FIRST]) for run in runs)


FAULTS = [
    (("init_from=nothing",), 6, "nothing: no such run"),
    (("init_from=last", "model.net.widths=[7]", "data=wine"), 2, "no weight fits by name and shape; there: net.layers"),
    (("init_only=[net.*]",), 2, "name it with init_from=RUN"),
    (("init_from=last", "init_only=[nets.*]"), 2, "init_only: nothing is named like nets.*; there is net."),
    (("freeze=[net.layer.1.*]",), 2, "freeze: nothing is named like net.layer.1.*; there is net.layers.1."),
    (("freeze=net",), 2, "freeze must be a list"),
    (("freeze=[*]",), 2, "nothing of player model is left to learn"),
    (("lora.rank=2", "lora.layers=[convolution]"), 2, "no linear or convolutional layer is named like this"),
    (("lora.rank=-1",), 2, "lora.rank must be a whole number >= 0"),
    (("thaw=1.5",), 2, "thaw must be a number >= 0 and <= 1"),
    (("layer_decay=0",), 2, "layer_decay must be a number >= 0.001 and <= 1"),
    (("-m", "init_from=last", "seed=1,2"), 2, "in a sweep its own runs become the newest; name the run"),
]


def test_what_cannot_be_is_one_clear_line(dl, source):
    for words, expected, text in FAULTS:
        code, _, err = dl("train", *QUICK, *words)
        assert code == expected, words
        assert text in err
        assert "Traceback" not in err


def test_a_run_without_a_validated_epoch_and_a_link_are_refused(dl, source):
    (source / "leads-out").symlink_to("/")
    code, _, err = dl("train", *QUICK, f"init_from={source}")
    assert code == 8
    assert "a link, which may lead out of the run" in err
    (source / "leads-out").unlink()
    for state in (source / "checkpoints").glob("step-*"):
        state.unlink()
    code, _, err = dl("train", *QUICK, f"init_from={source}")
    assert code == 5
    assert "no checkpoint holds" in err
