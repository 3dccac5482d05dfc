"""`dl eval` shows what codes are good for: files, tables, and what is told where a view makes no sense."""

import json
import re
from importlib import import_module
from pathlib import Path

import pytest
import torch
from omegaconf import OmegaConf

from dlcli.config import paths
from dlcli.config.build import build
from dlcli.config.check import check
from dlcli.data.loader import Resident
from dlcli.models.classifier import Classifier
from dlcli.nets.mlp import MLP
from dlcli.seeing.codes.views import OF_CODES
from dlcli.verbs.codes import look, stage
from dlcli.verbs.common import load_data, plain, stated

VAE = ("model=vae", "epochs=20", "model.encoder.widths=[64]", "model.decoder.widths=[64]", "model.importance=2")
TABLES = {
    "way between pictures": "middle",
    "change of class": "by codes",
    "neighbours of the same class": "codes, angle",
    "k-means": "codes",
    "bytes and errors": "code, rounded",
    "mse on other pictures": "photographs",
}


def test_a_run_with_codes_has_figures_and_tables_and_finds_the_class_that_was_left_out(dl):
    assert dl("train", *VAE, "without=[0]")[0] == 0
    (run,) = Path("outputs").glob("*/*")
    record = json.loads((run / "run.json").read_text())
    assert record["config"]["without"] == [0]
    code, out, err = dl("eval", "points=0", "mistakes=0")
    assert code == 0, err
    written = {path.stem.removeprefix("test-") for path in (run / "figures").glob("test-*.png")}
    usual = set(OF_CODES) - {"plane", "walk"}
    assert usual | {"interpolation-distance", "other-pictures"} <= written
    assert not {"plane", "walk"} & written
    report = json.loads((run / "report-test.json").read_text())
    for table, row in TABLES.items():
        assert row in report[table]
        assert table in out
    errors = {name: row["mse"] for name, row in report["bytes and errors"].items()}
    assert errors["code"] <= errors["code, rounded"] < 1.1 * errors["code"]
    assert report["mse on other pictures"]["photographs"]["code"] > 3 * errors["code"]
    assert report["change of class"]["by codes"]["arrives"] > 0.3  # of nine classes
    assert report["k-means"]["codes"]["NMI"] > 0.3
    assert report["area under the ROC"]["0"]["squared error"] > 0.7
    for words, told in (
        (("see=[plane]",), "see=plane: a code has 8 numbers, not two"),
        (("see=[anomaly]", "split=valid"), "see=anomaly: the split has no example of the classes that were left out"),
        (("see=clustres",), "see=clustres: no such view; did you mean clusters?"),
    ):
        code, _, err = dl("eval", "points=0", *words)
        assert code == 2
        assert told in err


def test_classes_that_cannot_be_left_out_end_the_command_with_one_line(dl):
    for words, told in (
        (["without=[11]"], "without=11: no such class; "),
        (["without=[0,1,2,3,4,5,6,7,8,9]"], "every class is left out; keep at least one of 0, 1, 2"),
        (["without=3"], "without=3: without must be a list"),
        (["without=[1]", "model=linear"], "without=[1]: these data do not name one class for each example"),
    ):
        code, _, err = dl("train", *VAE[:1], *words)
        assert code == 2
        assert told in err
        assert "Traceback" not in err


def test_a_classifier_has_no_codes(dl, undrawn):
    model = Classifier(net=MLP(inputs=4, widths=[3], outputs=3), classes=3)
    assert stage(model, None, None, {}, {"see": "usual", "seed": 0}) == (None, [])
    assert stage(model, None, None, {}, {"see": ["saliency"], "seed": 0}) == (None, [])
    assert look(None, [], {}, 0) == {}
    assert dl("train", "model=softmax", "epochs=1", "limit=0.2")[0] == 0
    code, _, err = dl("eval", "points=0", "see=[clusters]")
    assert code == 2
    assert "see=clusters: a Classifier has no codes to decode; look at a run of model=vae or the like" in err


def test_tables_have_clusters_and_neighbours(dl):
    words = ("data=wine", "model.likelihood=gaussian", "model.decoder.shape=[13]")
    code, _, err = dl("train", *VAE, *words)
    assert code == 0, err
    assert dl("eval", "points=0")[0] == 0
    (report,) = Path("outputs").glob("*/*/report-test.json")
    found = json.loads(report.read_text())
    assert {"k-means", "neighbours of the same class"} <= set(found)
    assert "bytes and errors" not in found
    code, _, err = dl("eval", "points=0", "see=[compression]")
    assert code == 2
    assert "see=compression: the examples are no pictures" in err


def coded() -> list[str]:
    """Return the families whose rule decodes codes."""
    found = []
    for family, path in paths.options("model").items():
        target = re.search(r"^  _target_: (\S+)\.(\w+)", path.read_text(encoding="utf-8"), re.MULTILINE)
        if target and hasattr(getattr(import_module(target[1]), target[2]), "decode"):
            found.append(family)
    return found


@pytest.mark.parametrize("family", coded())
def test_rules_with_codes_decode_them_to_the_shape_of_the_examples(family):
    config = check("train", [f"model={family}", f"name={family}"])
    splits = load_data(plain(config.data), config.paths.data)
    OmegaConf.update(config, "data", stated(splits.facts), force_add=True)
    model = build(plain(config)["model"]).eval()
    batch = Resident(splits.test, size=2, shuffle=False).take([0, 1])
    with torch.no_grad():
        code = model.embed(batch)
        assert code.ndim == 2
        assert len(code) == 2
        assert model.decode(code).shape == model.rebuild(batch.x).shape == batch.x.shape
