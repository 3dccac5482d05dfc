"""Exports: loaded again elsewhere they answer the same; what cannot be written is told in one line."""

import importlib.util
import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from dlcli.batch import Table
from dlcli.config.build import build
from dlcli.errors import ConfigError, DlError
from dlcli.model import Model
from dlcli.verbs.export import Call, gap, observe, refuse, require, traced

pytestmark = pytest.mark.usefixtures("undrawn")

QUICK = ("data=iris", "batch=32", "epochs=1")
RUNTIME = all(importlib.util.find_spec(name) for name in ("onnx", "onnxscript", "onnxruntime"))
X = torch.linspace(0, 3, 20).view(5, 4)


@pytest.fixture
def run(trained) -> Path:
    """Return a run with low-rank changes."""
    return trained("model=mlp", *QUICK, "lora.rank=1")


def rebuilt(folder: Path) -> Model:
    """Do what the card says."""
    model = build(json.loads((folder / "config.json").read_text()))
    model.load_state_dict(load_file(folder / "model.safetensors"))
    return model.eval()


def test_weights_program_and_card_of_a_run(dl, run):
    code, out, err = dl("export", str(run))
    assert code == 0, err
    assert f"export   {run}/export/safetensors: model.safetensors (" in out
    assert "checked  model: loaded again, outputs agree to 0 on validation examples" in out
    model = rebuilt(run / "export/safetensors")
    assert load_file(run / "checkpoints/best.safetensors").keys() == model.state_dict().keys()
    code, _, err = dl("export", str(run), "format=torch", "out=there")
    assert code == 0, err
    program = torch.export.load("there/model.pt2").module()
    for rows in (X, X[:1], X.repeat(9, 1)):
        assert (program(rows) - model(rows)).abs().max() <= 1e-5
    assert sorted(path.name for path in Path("there").iterdir()) == ["README.md", "model.pt2"]

    before = (run / "export/safetensors/README.md").stat().st_mtime_ns
    code, _, err = dl("export")
    assert code == 2
    assert err.count("\n") == 1
    assert "model.safetensors, config.json, README.md there already; force=true writes over them" in err
    assert (run / "export/safetensors/README.md").stat().st_mtime_ns == before
    assert dl("eval", "points=0", "mistakes=0")[0] == 0
    assert dl("export", "force=true")[0] == 0
    card = (run / "export/safetensors/README.md").read_text()
    for text in (
        "# mlp on iris",
        "| task | 3 classes (setosa, versicolor, virginica) |",
        "`dl train model=mlp data=iris batch=32 epochs=1 lora.rank=1`",
        "| LoRA | rank 1, merged into the weights |",
        "| `model` | B x 4 | B x 3 |",
        "| valid | accuracy |",
        "| test | accuracy |",
        "load_file",
        '"_target_": "dlcli.nets.mlp.MLP"',
    ):
        assert text in card, text


def test_a_record_of_a_stranger_cannot_break_the_card(dl, run):
    record = json.loads((run / "run.json").read_text())
    record["config"]["data"]["name"] = "a|b\x1b[31m"
    record["overrides"] = ["x\n# fine"]
    (run / "run.json").write_text(json.dumps(record))
    report = json.loads((run / "report.json").read_text())
    report["scores"] = {"accuracy": "text", "loss": 1.0}
    (run / "report.json").write_text(json.dumps(report))
    assert dl("export")[0] == 0
    card = (run / "export/safetensors/README.md").read_text()
    assert "\x1b" not in card
    assert "\n# fine" not in card
    assert "| valid | loss | 1 |" in card
    assert "accuracy" not in card


@pytest.mark.skipif(RUNTIME, reason="ONNX Runtime is installed")
def test_onnx_names_the_command_that_installs_it():
    with pytest.raises(
        ConfigError, match=r"format=onnx needs onnx, onnxscript, onnxruntime: pip install 'dlcli\[export"
    ):
        require("onnx")


@pytest.mark.skipif(not RUNTIME, reason="pip install 'dlcli[export]'")
def test_onnx_runtime_answers_as_the_run_does(dl, run):
    import onnxruntime

    assert dl("export")[0] == 0
    code, out, err = dl("export", "format=onnx")
    assert code == 0, err
    assert "checked  model: loaded again" in out
    session = onnxruntime.InferenceSession(run / "export/onnx/model.onnx")
    model = rebuilt(run / "export/safetensors")
    for rows in (X, X[:1]):
        (answer,) = session.run(None, {session.get_inputs()[0].name: rows.numpy()})
        assert (torch.from_numpy(answer) - model(rows)).abs().max() <= 1e-4


def test_nets_between_which_a_rule_stands_are_exported_apart(dl):
    assert dl("train", "model=vae", "epochs=1", "limit=0.1")[0] == 0
    code, out, err = dl("export", "format=torch")
    assert code == 0, err
    assert "encoder.pt2" in out
    assert "decoder.pt2" in out


def test_a_wrong_format_and_a_missing_run(dl):
    code, _, err = dl("export", "format=pickle")
    assert code == 2
    assert "format must be one of safetensors, onnx, torch" in err
    assert dl("export", "nothing")[0] == 6


class Branch(nn.Module):
    """A net that asks for a value."""

    def forward(self, x):
        return x if x.sum() > 0 else -x


class Rule(Model):
    """Measures without a net, or with one that cannot be traced."""

    def __init__(self, net=None):
        super().__init__()
        self.net = net

    def measure(self, batch):
        return {"loss": self.net(batch.x)} if self.net else {"loss": batch.x}


def test_what_cannot_be_exported_says_why():
    batch = Table(X, torch.zeros(5))
    with pytest.raises(ConfigError, match="Rule calls no net when it measures"):
        observe(Rule(), batch)
    (call,) = observe(Rule(Branch()), batch).values()
    with pytest.raises(ConfigError, match=r"net: cannot be traced .* format=safetensors works for every net"):
        traced("net", call)


def test_a_net_that_answers_differently_is_not_kept():
    net = nn.Linear(4, 2)
    call = Call(net, (X,), [net(X)])
    assert gap(call, lambda x: [net(x) + 1e-6], "net") < 1e-5
    for wrong in (lambda x: [net(x) + 0.01], lambda x: [net(x) * torch.nan]):
        with pytest.raises(DlError, match=r"net: the exported net differs by .*, more than 0.0001; nothing was kept"):
            gap(call, wrong, "net")


def test_refusal_names_the_files(tmp_path):
    (tmp_path / "a").touch()
    refuse(tmp_path, ["b"], force=False)
    refuse(tmp_path, ["a", "b"], force=True)
    with pytest.raises(ConfigError, match="a there already"):
        refuse(tmp_path, ["a", "b"], force=False)
