"""`dl eval inception=FILE`: features of Inception-v3 with weights from a file."""

import hashlib
import json
import os

import pytest
import torch
from safetensors.torch import save_file

from dlcli import fidelity
from dlcli.nets.inception import Inception
from dlcli.verbs.inception import features, read

QUICK = ("points=0", "mistakes=0", "see=[]", "samples=50")
SMALL = ("model=vae", "data=digits8", "epochs=2", "model.encoder.widths=[32]", "model.decoder.widths=[32]")

pytestmark = pytest.mark.usefixtures("undrawn")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Return a net of random weights, and a file of them as the port has it: with the last layer, without counts."""
    torch.manual_seed(0)
    net = Inception().eval()
    tensors = {name: value for name, value in net.state_dict().items() if "num_batches" not in name}
    path = tmp_path_factory.mktemp("weights") / "inception.safetensors"
    save_file(tensors | {"fc.weight": torch.rand(1008, 2048), "fc.bias": torch.rand(1008)}, path)
    return net, path


@pytest.fixture(autouse=True)
def _small(monkeypatch):
    """Look at pictures of 75 x 75, the smallest that the net takes: the time goes with the square."""
    monkeypatch.setattr("dlcli.nets.inception.SIDE", 75)


def test_samples_are_judged_by_features_of_a_file(dl, trained, made):
    _, path = made
    run, digest = trained(*SMALL), hashlib.sha256(path.read_bytes()).hexdigest()
    code, out, err = dl("eval", str(run), f"inception={path}", f"inception_sha256={digest}", *QUICK)
    assert code == 0, err
    assert "FID-Inception" in out
    found = json.loads((run / "report-test.json").read_text())
    assert found["inception"] == {"file": str(path), "sha256": digest, "samples": 50}
    table = found["judged by Inception"]
    assert 0 <= table["FID-Inception"]["training"] < table["FID-Inception"]["samples"]
    assert table["KID-Inception"]["training"] < table["KID-Inception"]["samples"]
    assert "judged" not in found  # no judge was asked


@torch.no_grad()
def test_the_file_gives_the_net_that_was_saved(made):
    net, path = made
    read_net, about = read({"inception": str(path), "inception_sha256": None}, torch.device("cpu"))
    x = torch.rand(3, 1, 8, 8)
    found = features(read_net, x, torch.device("cpu"))
    assert torch.equal(found, net(x))
    assert torch.equal(features(read_net, x.expand(-1, 3, -1, -1), torch.device("cpu")), found)
    assert len(about["sha256"]) == 64
    assert fidelity.frechet(found, found) == pytest.approx(0, abs=1e-9)


class Payload:
    """What a pickle runs when it is read."""

    def __reduce__(self):
        return (exec, ("open('ran', 'w').close()",))


def test_files_that_are_not_the_weights_are_refused(dl, trained, made, tmp_path):
    net, path = made
    run, mlp = trained(*SMALL), trained("model=mlp", "data=digits8", "epochs=4")
    torch.save({"fc.weight": Payload()}, tmp_path / "evil.pth")
    save_file({"fc.weight": torch.rand(3)}, tmp_path / "other.safetensors")
    wrong = net.state_dict() | {"Mixed_7c.branch1x1.bn.bias": torch.rand(3)}
    save_file(wrong, tmp_path / "wrong.safetensors")
    os.mkfifo(tmp_path / "pipe")
    for words, code, expected in (
        ((f"inception={tmp_path / 'nothing'}",), 3, "cannot be read (No such file or directory); name a safetensors"),
        ((f"inception={tmp_path / 'pipe'}",), 3, "cannot be read (not a regular file); name a safetensors"),
        ((f"inception={tmp_path / 'evil.pth'}",), 3, "no safetensors file"),
        ((f"inception={tmp_path / 'evil.pth'}",), 3, "docs/gans.md says how to convert it"),
        ((f"inception={tmp_path / 'other.safetensors'}",), 5, "missing Conv2d_1a_3x3.bn.bias"),
        ((f"inception={tmp_path / 'wrong.safetensors'}",), 5, "has shape (3,), the model (320,)"),
        ((f"inception={path}", "inception_sha256=00ff"), 3, "not inception_sha256=00ff: it is another file"),
        ((f"inception={path}", "inception_sha256=12"), 2, "inception_sha256 must be a text or null"),
    ):
        found, _, err = dl("eval", str(run), *words, *QUICK)
        assert (found, expected in " ".join(err.split())) == (code, True), err
    assert not list(tmp_path.glob("**/ran"))
    code, _, err = dl("eval", str(mlp), f"inception={path}", *QUICK)
    assert code == 2
    assert "a Classifier generates nothing that could be judged" in " ".join(err.split())


def test_points_are_no_pictures(dl, trained, made):
    run = trained(
        *("model=gan", "data=ring", "epochs=1", "limit=0.2"),
        *("model.generator.shape=[2]", "model.generator.output=identity"),
    )
    code, _, err = dl("eval", str(run), f"inception={made[1]}", *QUICK)
    assert code == 2
    assert "examples of shape (2,); Inception-v3 looks at pictures" in " ".join(err.split())
